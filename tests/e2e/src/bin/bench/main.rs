//! The benchmark: `starsink load` beside bare librdkafka consumers, on one topic, one broker and
//! one machine, in one run. Prints a table; asserts nothing.
//!
//! Every contender is a process of its own, so that its CPU and memory are its own. The broker
//! and the stand-in are other processes, whose cost is not counted but is paid by the machine.

/// A consumer that reads librdkafka's queue in batches.
#[allow(unsafe_code, reason = "the batch queue has no safe interface; this is a yardstick only")]
mod batch_queue;
/// What exactly once adds to the time of one batch.
mod latency;
/// Running a process and measuring what it used.
mod meter;
/// A consumer that polls record by record.
mod poll;
/// Numbers to text.
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use e2e::envelope;
use e2e::kafka::{Kafka, Options, Version};
use e2e::place;
use e2e::produce::{self, Compression, Load, Shape};
use e2e::registry::Registry;
use e2e::row::{self, Row};
use e2e::starrocks::StarRocks;
use e2e::starsink::Starsink;
use e2e::topics;

use self::meter::Usage;

/// Compare `starsink load` with bare librdkafka consumers
#[derive(Debug, Parser)]
struct Args {
    /// Rows of each topic
    #[arg(long, default_value_t = 3_000_000)]
    rows: u64,
    /// Partitions of each topic
    #[arg(long, default_value_t = 6)]
    partitions: u32,
    /// Runs of each contender
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// One topic for each
    #[arg(long, value_delimiter = ',', default_value = "none,lz4,zstd")]
    compression: Vec<Compression>,
    /// What the values are
    #[arg(long, default_value = "json")]
    shape: BenchShape,
    /// Who takes part
    #[arg(long, value_delimiter = ',', default_value = "poll,batch-queue,starsink,at-least-once")]
    contenders: Vec<Contender>,
    /// Kafka's version
    #[arg(long, default_value = "4.1.0")]
    kafka: Version,
    /// A line for starsink's configuration, such as `tasks.max=2`
    #[arg(short = 'C', value_name = "K=V")]
    config: Vec<String>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the benchmark runs itself as.
#[derive(Debug, Subcommand)]
enum Part {
    /// Run a command, then print what it used as JSON
    #[command(hide = true)]
    Meter {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// How much longer a batch takes exactly once: a mock Kafka whose every answer takes a while
    Latency {
        /// The time each answer of Kafka takes, in milliseconds
        #[arg(long, default_value_t = 100)]
        round_trip: u64,
    },
    /// Read so many records of a topic and end
    #[command(hide = true)]
    Read { how: Contender, bootstrap: String, topic: String, partitions: i32, rows: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BenchShape {
    /// Flat JSON: copied
    Json,
    /// The same with its schema: converted
    Schema,
    /// A Debezium insert with its schema: converted and unwrapped
    ChangeEvent,
    /// Avro with a schema registry: converted
    Avro,
}

impl BenchShape {
    /// `id`: the registered schema's, where the values have one.
    fn of_load(self, id: i32) -> Shape {
        match self {
            BenchShape::Json => Shape::Json,
            BenchShape::Schema => Shape::Schema,
            BenchShape::ChangeEvent => Shape::ChangeEvent,
            BenchShape::Avro => Shape::Avro(id),
        }
    }

    /// What starsink must be told of such values.
    fn config(self) -> &'static str {
        match self {
            BenchShape::Json => "value.converter.schemas.enable=false\n",
            BenchShape::Schema => "value.converter.schemas.enable=true\n",
            BenchShape::ChangeEvent => {
                "value.converter.schemas.enable=true\n\
                 transforms=addfield,unwrap\n\
                 transforms.addfield.type=com.starrocks.connector.kafka.transforms.AddOpFieldForDebeziumRecord\n\
                 transforms.unwrap.type=io.debezium.transforms.ExtractNewRecordState\n\
                 transforms.unwrap.drop.tombstones=true\n\
                 transforms.unwrap.delete.handling.mode=rewrite\n"
            }
            BenchShape::Avro => "value.converter=io.confluent.connect.avro.AvroConverter\n",
        }
    }

    /// The length of one value, for the heading.
    fn bytes(self) -> usize {
        let (row, mut text) = (Row { partition: 0, index: 1_000 }, String::new());
        match self {
            BenchShape::Json => row.json(&mut text),
            BenchShape::Schema => envelope::with_schema(row, &mut text),
            BenchShape::ChangeEvent => envelope::change_event(row, &mut text),
            BenchShape::Avro => return row::AVRO_BYTES,
        }
        text.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Contender {
    /// `BaseConsumer::poll`: the yardstick
    Poll,
    /// `rd_kafka_consume_batch_queue`: the least reading can cost
    BatchQueue,
    /// `starsink load` into the stand-in
    Starsink,
    /// The same with `--delivery at-least-once`
    AtLeastOnce,
}

fn main() -> Result<()> {
    let mut args = Args::parse();
    match args.part.take() {
        None => compare(&args),
        Some(Part::Latency { round_trip }) => latency::measure(round_trip, args.repeat),
        Some(Part::Meter { command }) => meter::run_and_print(&command),
        Some(Part::Read { how, bootstrap, topic, partitions, rows }) => {
            let read = match how {
                Contender::Poll => poll::read,
                Contender::BatchQueue => batch_queue::read,
                Contender::Starsink | Contender::AtLeastOnce => {
                    anyhow::bail!("starsink is not a bare consumer")
                }
            };
            read(&bootstrap, &topic, partitions, rows)
        }
    }
}

/// The broker, the target and the place for files of one benchmark.
struct Ground<'a> {
    args: &'a Args,
    kafka: Kafka,
    /// The program and where it loads to; or why it does not take part.
    starsink: Result<(Starsink, StarRocks)>,
    /// Where the values' schema is, if they have one.
    registry: Option<Registry>,
    dir: PathBuf,
}

fn compare(args: &Args) -> Result<()> {
    eprintln!("starting Kafka {} and the stand-in", args.kafka.number());
    let ground = Ground {
        args,
        kafka: Kafka::start(&Options { version: args.kafka, ..Options::default() })?,
        starsink: starsink(args),
        registry: (args.shape == BenchShape::Avro).then(Registry::start).transpose()?,
        dir: place::scratch("bench")?,
    };
    if let Err(reason) = &ground.starsink {
        eprintln!("SKIPPED: starsink does not take part: {reason:#}");
    }
    if !place::RELEASE {
        eprintln!("warning: this is a debug build; its figures mean nothing");
    }
    let bytes = args.shape.bytes();
    println!("{} rows of {bytes} bytes, {} partitions", args.rows, args.partitions);
    for compression in &args.compression {
        let runs = ground.race(*compression)?;
        println!(
            "\n{}",
            table::render(&compression.to_string(), args.rows, args.shape.bytes(), &runs)
        );
        let of = |contender| {
            args.contenders.iter().position(|c| *c == contender).map(|index| &runs[index])
        };
        if let (Some(exact), Some(least)) = (of(Contender::Starsink), of(Contender::AtLeastOnce)) {
            println!("{}", table::cost(exact, least));
        }
    }
    fs::remove_dir_all(&ground.dir).ok();
    Ok(())
}

fn starsink(args: &Args) -> Result<(Starsink, StarRocks)> {
    let is_asked = |c: &Contender| matches!(c, Contender::Starsink | Contender::AtLeastOnce);
    anyhow::ensure!(args.contenders.iter().any(is_asked), "not asked for");
    let program = Starsink::find()?;
    let starrocks = StarRocks::standin()?;
    starrocks.create_table("bench", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS))?;
    Ok((program, starrocks))
}

impl Ground<'_> {
    /// Runs every contender in turn, again and again, so that what the machine does besides
    /// falls on all alike.
    fn race(&self, compression: Compression) -> Result<Vec<table::Runs>> {
        let topic = format!("bench_{compression}");
        let bootstrap = self.kafka.bootstrap();
        eprintln!("producing {} rows, {compression}", self.args.rows);
        topics::create(&bootstrap, &topic, self.args.partitions, &[])?;
        let rows = Load::json(&topic, self.args.partitions, self.args.rows);
        let id = match &self.registry {
            Some(registry) => registry.register(&format!("{topic}-value"), row::AVRO_SCHEMA)?,
            None => 0,
        };
        let shape = self.args.shape.of_load(id);
        produce::fast(&bootstrap, &Load { compression, shape, ..rows })?;
        let mut all: Vec<table::Runs> =
            self.args.contenders.iter().map(|c| table::Runs::new(c.label())).collect();
        for round in 1..=self.args.repeat {
            for (contender, runs) in self.args.contenders.iter().zip(&mut all) {
                eprintln!("round {round} of {}: {}", self.args.repeat, contender.label());
                match self.run(*contender, &topic, round) {
                    Ok(usage) => runs.usages.push(usage),
                    Err(reason) => runs.failed.push(format!("round {round}: {reason:#}")),
                }
            }
        }
        topics::delete(&bootstrap, &topic)?;
        Ok(all)
    }

    fn run(&self, contender: Contender, topic: &str, round: u32) -> Result<Usage> {
        match contender {
            Contender::Starsink => self.run_starsink(topic, round, "exactly-once"),
            Contender::AtLeastOnce => self.run_starsink(topic, round, "at-least-once"),
            Contender::Poll | Contender::BatchQueue => {
                let how = contender.to_possible_value().expect("no variant is skipped");
                let me = std::env::current_exe().context("find this program")?;
                let mut command = Command::new(me);
                command.args(["read", how.get_name(), &self.kafka.bootstrap(), topic]);
                command.args([self.args.partitions.to_string(), self.args.rows.to_string()]);
                meter::measure(&command, &self.dir)
            }
        }
    }

    fn run_starsink(&self, topic: &str, round: u32, delivery: &str) -> Result<Usage> {
        let Ok((program, starrocks)) = &self.starsink else { anyhow::bail!("does not take part") };
        starrocks.only_count("bench")?;
        let config = self.dir.join("starsink.properties");
        fs::write(&config, self.config(starrocks, topic, round, delivery))
            .context("write a configuration")?;
        let mut command = program.command();
        command.args(["load", "--no-progress", "--delivery", delivery]).arg(&config);
        let usage = meter::measure(&command, &self.dir)?;
        let loaded = starrocks.tally("bench")?.rows;
        anyhow::ensure!(loaded == self.args.rows, "loaded {loaded} rows of {}", self.args.rows);
        Ok(usage)
    }

    /// A group of its own for each round and delivery, so that each begins at the beginning.
    fn config(&self, starrocks: &StarRocks, topic: &str, round: u32, delivery: &str) -> String {
        let mut text = format!(
            "name={topic}_{delivery}_{round}\n\
             connector.class=com.starrocks.connector.kafka.StarRocksSinkConnector\n\
             bootstrap.servers={}\n\
             topics={topic}\n\
             key.converter=org.apache.kafka.connect.storage.StringConverter\n\
             value.converter=org.apache.kafka.connect.json.JsonConverter\n\
             {}\
             starrocks.topic2table.map={topic}:bench\n\
             starrocks.http.url={}\n\
             starrocks.username={}\n\
             starrocks.password={}\n\
             starrocks.database.name={}\n\
             sink.properties.format=json\n\
             sink.properties.strip_outer_array=true\n",
            self.kafka.bootstrap(),
            self.args.shape.config(),
            starrocks.fe,
            starrocks.user,
            starrocks.password,
            starrocks.db,
        );
        if let Some(registry) = &self.registry {
            text.push_str(&format!("value.converter.schema.registry.url={}\n", registry.url()));
        }
        for line in &self.args.config {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

impl Contender {
    fn label(self) -> &'static str {
        match self {
            Contender::Poll => "librdkafka poll",
            Contender::BatchQueue => "librdkafka batch queue",
            Contender::Starsink => "starsink load",
            Contender::AtLeastOnce => "  at least once",
        }
    }
}

/// Settings of both bare consumers: no group, from the beginning, and without the pause of a
/// second that librdkafka makes when its queue of small records is full.
fn bare_consumer(bootstrap: &str) -> rdkafka::config::ClientConfig {
    let mut config = rdkafka::config::ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bare")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "5");
    config
}

/// All partitions of `topic`, from their first offset.
fn whole(topic: &str, partitions: i32) -> Result<rdkafka::TopicPartitionList> {
    let mut list = rdkafka::TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, rdkafka::Offset::Beginning)?;
    }
    Ok(list)
}

/// Where a contender's own output goes; shown only if it fails.
fn output_file(dir: &Path) -> PathBuf {
    dir.join("contender.log")
}
