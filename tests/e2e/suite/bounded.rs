//! `load` over many rows: stopped half way and run again, bounded by time, through transactions,
//! and with partitions that hold nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::produce::{self, Load, Shape, Stamp};
use e2e::row;
use e2e::starrocks::Ids;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{SOON, Scene, scaled, wait_until};

/// Rows of the interrupted load; 10 000 000 is the full size.
const ROWS: &str = "STARSINK_E2E_ROWS";
const PARTITIONS: u32 = 12;
/// For loads of millions on two busy cores.
const PATIENCE: Duration = Duration::from_secs(900);

/// A table for the benchmark's rows whose ids are tallied.
fn rows_table(scene: &Scene) -> String {
    let table = scene.table("bounded", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS));
    scene.starrocks.tally_ids(&table).expect("ids are tallied");
    table
}

fn ids(scene: &Scene, table: &str) -> Ids {
    scene.starrocks.ids(table).expect("ids are read")
}

#[test]
fn a_load_stopped_by_sigint_says_so_and_the_next_one_loads_just_the_rest() {
    let scene = Scene::new();
    let (topic, table) = (scene.topic("half", PARTITIONS), rows_table(&scene));
    let load = Load::json(&topic, PARTITIONS, scaled(ROWS, 1_000_000));
    produce::fast(&scene.bootstrap, &load).expect("produced");
    if scene.starrocks.is_standin() {
        // Slow enough that there is a middle to be stopped in.
        let slow = json!({"op": "prepare", "times": 0, "do": "delay", "ms": 1500});
        scene.starrocks.fault(&slow).expect("a fault is set");
    }
    let job = scene.job(&[(&topic, &table)]);
    let mut run = job.start(&["load", "--no-progress"]);
    wait_until("some rows are loaded", PATIENCE, || {
        assert!(run.runs().expect("its state"), "it ended early; raise {ROWS}: {}", run.stderr());
        ids(&scene, &table).rows > 0
    });
    run.signal(Signal::SIGINT);
    run.wait(PATIENCE).expect("it ends").expect(130);
    let half = ids(&scene, &table);
    assert!(half.rows < load.rows, "nothing was left to do; raise {ROWS}");

    if scene.starrocks.is_standin() {
        scene.starrocks.clear_faults().expect("faults are cleared");
    }
    let file = job.file();
    let rest = scene.starsink.run(&["load", "--no-progress", &file], "", PATIENCE);
    rest.expect("starsink runs").expect(0);
    assert_eq!(ids(&scene, &table), load.all().collect::<Ids>());
}

#[test]
fn an_interval_of_time_loads_exactly_the_records_stamped_in_it() {
    const FIRST_MS: i64 = 1_793_491_200_000;
    let scene = Scene::new();
    let (topic, table) = (scene.topic("interval", PARTITIONS), rows_table(&scene));
    let rows = Load::json(&topic, PARTITIONS, u64::from(PARTITIONS) * 5_000);
    let load = Load { stamp: Stamp::Counting { first_ms: FIRST_MS }, ..rows };
    produce::fast(&scene.bootstrap, &load).expect("produced");
    // The second bound is written as a person would: 2026-11-01T00:00:03.5Z is row 3500.
    let from = format!("s@{}", FIRST_MS + 1_000);
    let job = scene.job(&[(&topic, &table)]);
    job.load(&["-o", &from, "--until", "e@2026-11-01T00:00:03.500Z"]).expect(0);
    let expected: Ids = load.all().filter(|row| (1_000..3_500).contains(&row.index)).collect();
    assert_eq!(ids(&scene, &table), expected);
}

#[test]
fn read_committed_loads_committed_rows_only_and_ends_before_an_open_transaction() {
    let scene = Scene::new();
    let (topic, table) = (scene.topic("committed", 2), rows_table(&scene));
    let load = Load::json(&topic, 2, 1_000);
    let done = produce::in_transactions(&scene.bootstrap, &load, 50, 4).expect("produced");
    let open = Load { first: 500, ..Load::json(&topic, 2, 100) };
    let _open = produce::leave_open(&scene.bootstrap, &open).expect("left open");
    let job = scene.job(&[(&topic, &table)]);
    job.set("consumer.override.isolation.level", "read_committed").load(&[]).expect(0);
    assert_eq!(ids(&scene, &table), done.committed.into_iter().collect::<Ids>());
}

#[test]
fn a_load_ends_by_itself_while_the_topic_keeps_growing() {
    let scene = Scene::new();
    let (topic, table) = (scene.topic("growing", 2), rows_table(&scene));
    let before = Load::json(&topic, 2, 20_000);
    produce::fast(&scene.bootstrap, &before).expect("produced");
    let stop = AtomicBool::new(false);
    let more = Load { first: 10_000, ..Load::json(&topic, 2, u64::MAX >> 40) };
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            produce::steady(&scene.bootstrap, &more, 2_000, || stop.load(Ordering::Relaxed))
        });
        let job = scene.job(&[(&topic, &table)]);
        let file = job.file();
        let output = scene.starsink.run(&["load", "--no-progress", &file], "", SOON);
        stop.store(true, Ordering::Relaxed);
        producer.join().expect("no panic").expect("produced");
        output.expect("it ends").expect(0);
    });
    let loaded = ids(&scene, &table).rows;
    assert!(loaded >= before.rows, "{loaded} rows, of at least {}", before.rows);
}

#[test]
fn partitions_with_nothing_in_them_end_a_load_too() {
    let scene = Scene::new();
    let (topic, table) = (scene.topic("sparse", 6), rows_table(&scene));
    let job = scene.job(&[(&topic, &table)]);
    job.load(&[]).expect(0);
    assert_eq!(ids(&scene, &table), Ids::default());
    let load = Load::json(&topic, 1, 10);
    produce::fast(&scene.bootstrap, &load).expect("produced");
    job.load(&[]).expect(0);
    assert_eq!(ids(&scene, &table), load.all().collect::<Ids>());
}

#[test]
fn compressed_batches_arrive_whole() {
    let scene = Scene::new();
    for compression in [produce::Compression::Lz4, produce::Compression::Zstd] {
        let (topic, table) = (scene.topic("packed", 3), rows_table(&scene));
        let rows = Load::json(&topic, 3, 30_000);
        let load = Load { compression, shape: Shape::Json, ..rows };
        produce::fast(&scene.bootstrap, &load).expect("produced");
        scene.job(&[(&topic, &table)]).load(&[]).expect(0);
        assert_eq!(ids(&scene, &table), load.all().collect::<Ids>(), "{compression}");
    }
}
