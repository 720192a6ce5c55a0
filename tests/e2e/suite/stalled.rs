//! `tail` at a steady rate while the target stands still for half of the time: memory stays
//! bounded, the group keeps its member, and in the end the counts agree.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use e2e::produce::{self, Load};
use e2e::row;
use e2e::starrocks::Ids;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scene::{Scene, own_broker_log, scaled, skip, wait_until};

/// Seconds of `tail`; 600 is the full size. The stall takes half of them.
const SECONDS: &str = "STARSINK_E2E_TAIL_SECONDS";
const ROWS_PER_SECOND: u32 = 20_000;
const PARTITIONS: u32 = 6;
const MIB: u64 = 1 << 20;
const MEMORY_MIB: u64 = 96;
/// What the process may use beside `--memory`.
const BESIDES_MIB: u64 = 100;
/// Shorter than the stall, so that a member that does not poll would be expelled in it.
const MAX_POLL_INTERVAL_MS: &str = "12000";
const SESSION_TIMEOUT_MS: &str = "10000";

#[test]
fn a_stalled_target_costs_neither_memory_nor_the_membership_nor_rows() {
    let test = "a stalled target";
    let Some(scene) = Scene::with_standin(test) else { return };
    let seconds = scaled(SECONDS, 60);
    let topic = scene.topic("stalled", PARTITIONS);
    let table = scene.table("stalled", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS));
    scene.starrocks.tally_ids(&table).expect("ids are tallied");
    let job = scene
        .job(&[(&topic, &table)])
        .set("consumer.override.max.poll.interval.ms", MAX_POLL_INTERVAL_MS)
        .set("consumer.override.session.timeout.ms", SESSION_TIMEOUT_MS);
    let memory = format!("{MEMORY_MIB}MiB");
    let mut run = job.start(&["tail", "--no-progress", "--memory", &memory]);

    let load = Load::json(&topic, PARTITIONS, u64::from(ROWS_PER_SECOND) * seconds);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let producer = scope.spawn(|| {
            produce::steady(&scene.bootstrap, &load, ROWS_PER_SECOND, || {
                stop.load(Ordering::Relaxed)
            })
        });
        // A failing assertion below must not leave the scope waiting for the producer's last row.
        let _stop = StopOnDrop(&stop);
        stall(&scene, seconds / 2, || assert!(run.runs().expect("its state"), "{}", run.stderr()));
        while !producer.is_finished() {
            thread::sleep(Duration::from_millis(100));
        }
        let sent = producer.join().expect("no panic").expect("produced");
        assert_eq!(sent, load.rows);
    });

    let produced: Ids = load.all().collect();
    wait_until("tail has caught up", Duration::from_secs(60 + seconds), || {
        assert!(run.runs().expect("its state"), "{}", run.stderr());
        scene.starrocks.ids(&table).expect("ids") == produced
    });
    let peak = run.resident_bytes(true).expect("its memory") / MIB;
    assert!(peak <= MEMORY_MIB + BESIDES_MIB, "peak resident memory {peak} MiB");
    check_membership(&format!("connect-{}", job.get("name")));
    run.signal(Signal::SIGTERM);
    run.wait(Duration::from_secs(60)).expect("it ends").expect(0);
    assert_eq!(scene.starrocks.ids(&table).expect("ids"), produced);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs undisturbed for a quarter of the time, then holds every load for `seconds`.
fn stall(scene: &Scene, seconds: u64, mut look: impl FnMut()) {
    let mut wait = |seconds| {
        for _ in 0..seconds {
            look();
            thread::sleep(Duration::from_secs(1));
        }
    };
    wait(seconds / 2);
    for op in ["load", "stream_load"] {
        let hold = json!({"op": op, "at": "be", "times": 0, "do": "hold", "name": "stall"});
        scene.starrocks.fault(&hold).expect("a fault is set");
    }
    wait(seconds);
    scene.starrocks.clear_faults().expect("faults are cleared");
    scene.starrocks.release("stall").expect("loads are released");
}

/// The broker's coordinator writes down every member that it expels or that gives up.
#[track_caller]
fn check_membership(group: &str) {
    let Some(log) = own_broker_log() else {
        skip("whether a member was expelled", "the given broker's log is out of reach");
        return;
    };
    let lost: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(group))
        .filter(|line| {
            ["has failed", "has left", "LeaveGroup", "expired"].iter().any(|w| line.contains(w))
        })
        .collect();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}
