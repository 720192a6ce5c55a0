//! Fills a topic with the benchmark's rows, by hand.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use e2e::produce::{self, Compression, Load, Shape, Stamp};
use e2e::topics;

/// Put rows into a Kafka topic
#[derive(Debug, Parser)]
struct Args {
    /// Brokers
    #[arg(short, long)]
    bootstrap_server: String,
    /// Topic
    #[arg(short, long)]
    topic: String,
    /// Create the topic first
    #[arg(long)]
    create: bool,
    /// Partitions to fill
    #[arg(long, default_value_t = 6)]
    partitions: u32,
    /// Rows in all
    #[arg(short = 'n', long, default_value_t = 1_000_000)]
    rows: u64,
    /// Index of the first row in its partition
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// none, lz4 or zstd
    #[arg(short = 'z', long, default_value = "none")]
    compression: Compression,
    /// CSV with this separator instead of JSON
    #[arg(long, value_name = "SEPARATOR", conflicts_with = "tombstone_every")]
    csv: Option<String>,
    /// Every n-th record of a partition has no value
    #[arg(long, value_name = "N")]
    tombstone_every: Option<u64>,
    /// Timestamp of the first record of each partition; one millisecond more for each that follows
    #[arg(long, value_name = "MS")]
    first_timestamp: Option<i64>,
    /// Rows per second instead of as fast as it goes
    #[arg(long, conflicts_with = "transaction")]
    rate: Option<u32>,
    /// In transactions of so many rows
    #[arg(long, value_name = "ROWS")]
    transaction: Option<u64>,
    /// Roll every n-th transaction back
    #[arg(long, value_name = "N", default_value_t = 0)]
    abort_every: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let bootstrap = &args.bootstrap_server;
    if args.create {
        topics::create(bootstrap, &args.topic, args.partitions, &[])?;
    }
    let load = args.load();
    let start = Instant::now();
    let put = match (args.rate, args.transaction) {
        (Some(rate), _) => produce::steady(bootstrap, &load, rate, || false)?,
        (None, Some(each)) => {
            let done = produce::in_transactions(bootstrap, &load, each, args.abort_every)?;
            eprintln!("{} rows rolled back", done.aborted);
            done.committed.len() as u64
        }
        (None, None) => {
            produce::fast(bootstrap, &load)?;
            load.rows
        }
    };
    print_rate(put, start.elapsed());
    Ok(())
}

impl Args {
    fn load(&self) -> Load {
        let shape = match (&self.csv, self.tombstone_every) {
            (Some(separator), _) => Shape::Csv(separator.clone()),
            (None, Some(every)) => Shape::JsonWithTombstones(every),
            (None, None) => Shape::Json,
        };
        let stamp =
            self.first_timestamp.map_or(Stamp::Now, |first_ms| Stamp::Counting { first_ms });
        Load {
            first: self.first,
            shape,
            stamp,
            compression: self.compression,
            ..Load::json(&self.topic, self.partitions, self.rows)
        }
    }
}

fn print_rate(rows: u64, took: Duration) {
    let per_second = rows as f64 / took.as_secs_f64();
    eprintln!("{rows} rows in {:.1} s, {:.0} rows/s", took.as_secs_f64(), per_second);
}
