//! What exactly once adds to the time of one batch, in round trips: Kafka is librdkafka's mock cluster,
//! each of whose answers takes a known while, so that the steps between a sealed batch and its rows
//! being visible can be counted by a clock.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::place;
use e2e::produce::{self, Load};
use e2e::row;
use e2e::starrocks::StarRocks;
use e2e::starsink::{Starsink, write_properties};
use rdkafka::mocking::MockCluster;

const ROWS: u64 = 1_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Loads one batch by each delivery, `repeat` times, and prints the medians.
pub(super) fn measure(round_trip_ms: u64, repeat: u32) -> Result<()> {
    let program = Starsink::find()?;
    let mut medians = vec![];
    for delivery in ["at-least-once", "exactly-once"] {
        let mut times = vec![];
        for round in 0..repeat {
            times.push(one(&program, round_trip_ms, delivery, round)?);
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!("{delivery:<14} {median:>6.0} ms from the sealed batch to its rows");
        medians.push(median);
    }
    let extra = medians[1] - medians[0];
    let trips = extra / round_trip_ms as f64;
    println!("exactly once   {extra:>+6.0} ms = {trips:.1} round trips of {round_trip_ms} ms");
    Ok(())
}

/// The time from "preparing" to the last label's receipt, in milliseconds.
fn one(program: &Starsink, round_trip_ms: u64, delivery: &str, round: u32) -> Result<f64> {
    let kafka = MockCluster::new(1).context("start the mock cluster")?;
    kafka.create_topic("rows", 1, 1).context("create the topic")?;
    let load = Load::json("rows", 1, ROWS);
    produce::fast(&kafka.bootstrap_servers(), &load)?;
    kafka
        .broker_round_trip_time(1, Duration::from_millis(round_trip_ms))
        .context("slow it down")?;
    let starrocks = StarRocks::standin()?;
    starrocks.create_table("rows", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS))?;
    let dir = place::scratch("latency")?;
    let file = dir.join("latency.properties");
    write_properties(
        &file,
        &[
            ("name", &format!("latency_{round}")),
            ("connector.class", "com.starrocks.connector.kafka.StarRocksSinkConnector"),
            ("bootstrap.servers", &kafka.bootstrap_servers()),
            ("topics", "rows"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("starrocks.http.url", &starrocks.fe),
            ("starrocks.database.name", &starrocks.db),
            ("starrocks.username", &starrocks.user),
            ("starrocks.password", &starrocks.password),
            ("sink.properties.format", "json"),
        ],
    )?;
    let path = file.to_string_lossy();
    let args = ["load", "-v", "--output", "json", "--delivery", delivery, &path];
    let output = program.run(&args, "", PATIENCE)?.expect(0);
    fs::remove_dir_all(&dir).ok();
    let events: Vec<serde_json::Value> =
        output.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let at = |event: &serde_json::Value| {
        let clock = event["at"].as_str()?.split_once('T')?.1.trim_end_matches('Z');
        let mut parts = clock.split(':').map(str::parse::<f64>);
        let (h, m, s) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
        Some((h * 3600.0 + m * 60.0 + s) * 1e3)
    };
    let is_sealed = |event: &&serde_json::Value| {
        event["text"].as_str().is_some_and(|text| text.starts_with("step 4"))
    };
    let sealed = events.iter().find(is_sealed).and_then(at).context("no step 4 was said")?;
    let loaded = events.iter().filter(|event| event["event"] == "load").filter_map(at).next_back();
    Ok(loaded.context("nothing was loaded")? - sealed)
}
