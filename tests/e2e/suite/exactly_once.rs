//! Each record once, whatever happens: processes killed with SIGKILL and frozen with SIGSTOP at
//! every step of the protocol, reached from outside by holding StarRocks' requests or by watching
//! what `-v` says; brokers restarted in between.

/// Batches whose fate StarRocks has forgotten, orphans, offsets of the Java connector.
mod doubt;
/// One mishap at each request of the protocol, on librdkafka's mock cluster.
mod protocol;
/// The group as it is found: positions that do not fit, members that died, commits that are refused;
/// and what a run says of what it did.
mod positions;
/// What each delivery option promises.
mod promises;
/// A process dies when some tables of a batch are committed and others are not.
mod several;
/// Plain loads with rows that StarRocks refuses.
mod refused;
/// A StarRocks that answers nothing any more once an intent stands.
mod silent;
/// Labels that StarRocks has prepared and never commits (R3b).
mod uncommittable;
/// Topics, tables, processes and the reckoning.
mod stage;

use std::env;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use e2e::kafka::Kafka;
use nix::sys::signal::Signal;
use serde_json::json;

use self::stage::{Dice, Process, SESSION, Stage, StopOnDrop, broker, cluster, wait_for_progress};
use crate::scene::{SOON, scaled};

/// Processes to kill; 200 and more for a soak.
const KILLS: &str = "STARSINK_E2E_KILLS";
/// Ends the killing after so many seconds, however many were killed; 0: no such end.
const SECONDS: &str = "STARSINK_E2E_KILL_SECONDS";
/// 3: three brokers, one of them killed and restarted now and then.
const BROKERS: &str = "STARSINK_E2E_BROKERS";
/// Repeats a run's choices.
const SEED: &str = "STARSINK_E2E_SEED";

/// A moment to strike.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// At any moment.
    AnyTime,
    /// A request is held: `op`, `at`, `when`.
    Held(&'static str, &'static str, &'static str),
    /// `-v` has just said this.
    Said(&'static str),
}

/// The crash points of the protocol, in its order.
const POINTS: [Point; 17] = [
    Point::Said("step 1: claiming"),
    Point::Said("step 1: claimed"),
    Point::Held("begin", "be", "before"),
    Point::Held("begin", "be", "after"),
    Point::Held("load", "be", "before"),
    Point::Held("load", "be", "body"),
    Point::Held("load", "be", "after"),
    Point::Said("step 4: preparing"),
    Point::Held("prepare", "be", "before"),
    Point::Held("prepare", "be", "after"),
    Point::Said("step 5: writing the intent"),
    Point::Said("step 6: committing"),
    Point::Held("commit", "fe", "before"),
    Point::Held("commit", "fe", "after"),
    Point::Said("step 7:"),
    Point::AnyTime,
    Point::AnyTime,
];

/// Those of plain loads, for a StarRocks without transactions.
const PLAIN_POINTS: [Point; 11] = [
    Point::Said("step 1: claiming"),
    Point::Said("step 1: claimed"),
    Point::Held("stream_load", "fe", "before"),
    Point::Held("stream_load", "be", "before"),
    Point::Held("stream_load", "be", "body"),
    Point::Held("stream_load", "be", "after"),
    Point::Said("step 5: writing the intent"),
    Point::Said("step 6: committing"),
    Point::Said("step 7:"),
    Point::AnyTime,
    Point::AnyTime,
];

/// A request is held, or a text said, within this time: batches take 0.3 s.
const REACHED_WITHIN: Duration = Duration::from_secs(15);

impl Point {
    /// Waits for the moment; returns whether it came. `process` is watched for what it says.
    fn reach(self, stage: &Stage, name: &str, process: &Process, dice: &mut Dice) -> bool {
        match self {
            Point::AnyTime => {
                thread::sleep(dice.millis(2_500));
                true
            }
            Point::Said(text) => process.says(text, REACHED_WITHIN),
            Point::Held(op, at, when) => {
                // In the middle of a body: after its first bytes.
                let when = if when == "body" { json!(100) } else { json!(when) };
                let nth = 1 + dice.below(3);
                let fault = json!({"op": op, "at": at, "when": when, "nth": nth, "do": "hold", "name": name});
                stage.scene.starrocks.fault(&fault).expect("a fault is set");
                let reached = stage.is_held(REACHED_WITHIN);
                stage.scene.starrocks.clear_faults().expect("faults are cleared");
                reached
            }
        }
    }
}

fn seed() -> u64 {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |t| t.as_secs());
    env::var(SEED).ok().and_then(|text| text.parse().ok()).unwrap_or_else(clock)
}

/// Numbers of a run, past the test harness's capture.
fn tell(text: &str) {
    writeln!(std::io::stderr(), "exactly once: {text}").ok();
}

#[test]
fn processes_killed_at_any_moment_lose_and_double_nothing() {
    let brokers = if env::var(BROKERS).is_ok_and(|text| text == "3") { 3 } else { 1 };
    let kafka = (brokers == 3).then(|| cluster(3));
    let bootstrap = kafka.as_ref().map_or_else(broker, e2e::kafka::Kafka::bootstrap);
    let Some(stage) = Stage::new("kill -9", &bootstrap) else { return };
    kill_again_and_again(&stage, kafka, &POINTS);
}

#[test]
fn processes_of_plain_loads_killed_at_any_moment_lose_and_double_nothing() {
    let Some(stage) = Stage::old("kill -9 of plain loads", &broker()) else { return };
    kill_again_and_again(&stage, None, &PLAIN_POINTS);
}

/// Two processes, killed at each of `points` in turn and then at random ones; brokers, where there are
/// several, go down and come back meanwhile.
fn kill_again_and_again(stage: &Stage, mut kafka: Option<Kafka>, points: &[Point]) {
    let (kills, seed, started) = (scaled(KILLS, points.len() as u64), seed(), Instant::now());
    tell(&format!("{kills} kills, {SEED}={seed}"));
    let seconds =
        env::var(SECONDS).ok().and_then(|text| text.parse::<u64>().ok()).filter(|n| *n > 0);
    let (mut dice, stop) = (Dice::new(seed), AtomicBool::new(false));
    let (mut missed, mut killed, mut restarted) = (0, 0, 0);
    let produced = thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let producers = stage.produce(scope, &stop);
        let mut processes = [stage.tail(&[]), stage.tail(&[])];
        let (mut down, mut struck) = (None, 0);
        let is_over = |killed| {
            let late = seconds.is_some_and(|most| started.elapsed() > Duration::from_secs(most));
            killed >= kills || late
        };
        while !is_over(killed) {
            if let Some(kafka) = &mut kafka {
                match (struck % 8, down) {
                    (3, None) => {
                        let broker = usize::try_from(dice.below(3)).expect("small");
                        kafka.kill(broker);
                        restarted += 1;
                        down = Some(broker);
                    }
                    (6, Some(broker)) => {
                        kafka.restart(broker).expect("it comes back");
                        down = None;
                    }
                    _ => {}
                }
            }
            let random = usize::try_from(dice.below(points.len() as u64)).expect("small");
            let point = points[if struck < points.len() { struck } else { random }];
            struck += 1;
            killed += strike(stage, point, &mut processes, &mut dice, &mut missed);
        }
        if let (Some(kafka), Some(broker)) = (&mut kafka, down) {
            kafka.restart(broker).expect("it comes back");
        }
        stop.store(true, Ordering::Relaxed);
        let produced = producers.produced();
        stage.wait_for(&produced, 2 * SOON);
        processes.into_iter().for_each(Process::stop);
        produced
    });
    stage.check(&produced);
    let open = stage.open_labels();
    tell(&format!(
        "{killed} kills, {restarted} brokers restarted, {missed} points not reached, {} rows and {} changes, {} \
         labels left to expire, {:.0} s, {SEED}={seed}: nothing lost, nothing doubled",
        produced.ids.len(),
        produced.changes,
        open.len(),
        started.elapsed().as_secs_f64()
    ));
    check_leftovers_expire(stage);
    stage.forget_logs();
}

/// Kills one process or both at `point` and starts them again; returns how many died.
fn strike(
    stage: &Stage,
    point: Point,
    processes: &mut [Process; 2],
    dice: &mut Dice,
    missed: &mut u64,
) -> u64 {
    let name = format!("kill{}", dice.below(u64::MAX));
    let victim = usize::try_from(dice.below(2)).expect("small");
    // Only a process that starts claims anything.
    if matches!(point, Point::Said(text) if text.starts_with("step 1")) {
        let fresh = stage.tail(&[]);
        std::mem::replace(&mut processes[victim], fresh).kill();
    }
    if !point.reach(stage, &name, &processes[victim], dice) {
        *missed += 1;
    }
    processes.iter_mut().for_each(Process::check_runs);
    let both = dice.below(4) == 0;
    let late = dice.below(2) == 0;
    let mut killed = 0;
    for slot in [victim, 1 - victim] {
        if slot == victim || both {
            // The new one starts only after the old one's end: it would be a third member.
            processes[slot].signal(Signal::SIGKILL);
            let fresh = stage.tail(&[]);
            drop(std::mem::replace(&mut processes[slot], fresh));
            killed += 1;
        }
    }
    if late {
        // The dead process's request takes effect while others are at work.
        thread::sleep(dice.millis(4_000));
    }
    stage.scene.starrocks.release(&name).expect("released");
    if dice.below(2) == 0 {
        wait_for_progress(stage, SOON);
    }
    killed
}

/// What a killed process had begun and never named in an intent ends by its timeout.
fn check_leftovers_expire(stage: &Stage) {
    stage.scene.starrocks.advance(Duration::from_secs(5 * 3600)).expect("the clock moves");
    let open = stage.open_labels();
    assert!(open.is_empty(), "labels that never expire: {open:?}");
}

/// Points that a run on a busy machine may miss.
const MOST_UNREACHED: usize = 3;

#[test]
fn a_process_frozen_for_longer_than_its_session_does_no_harm() {
    let Some(stage) = Stage::new("SIGSTOP", &broker()) else { return };
    let (seed, started) = (seed(), Instant::now());
    let (mut dice, stop) = (Dice::new(seed), AtomicBool::new(false));
    let points: Vec<Point> =
        POINTS.into_iter().filter(|point| !matches!(point, Point::AnyTime)).collect();
    let produced = thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let producers = stage.produce(scope, &stop);
        let mut sleeper = stage.tail(&[]);
        let mut unreached = 0;
        for (n, point) in points.iter().enumerate() {
            if !matches!(point, Point::Said(text) if text.starts_with("step 1")) {
                wait_for_progress(&stage, SOON);
            }
            let name = format!("freeze{n}");
            if !point.reach(&stage, &name, &sleeper, &mut dice) {
                // A busy stream finalises with the next intent and may never say some steps.
                unreached += 1;
                assert!(unreached <= MOST_UNREACHED, "{point:?} is not reached either");
                stage.scene.starrocks.release(&name).expect("released");
                continue;
            }
            sleeper.signal(Signal::SIGSTOP);
            let heir = stage.tail(&[]);
            thread::sleep(SESSION + dice.millis(1_500));
            // Odd ones: what the sleeper asked for happens only after the heir has taken over.
            if n % 2 == 1 {
                wait_for_progress(&stage, SOON);
            }
            stage.scene.starrocks.release(&name).expect("released");
            wait_for_progress(&stage, SOON);
            sleeper.signal(Signal::SIGCONT);
            wait_for_progress(&stage, SOON);
            sleeper.stop();
            sleeper = heir;
            if matches!(points.get(n + 1), Some(Point::Said(text)) if text.starts_with("step 1")) {
                sleeper.stop();
                sleeper = stage.tail(&[]);
            }
        }
        stop.store(true, Ordering::Relaxed);
        let produced = producers.produced();
        stage.wait_for(&produced, SOON);
        sleeper.stop();
        produced
    });
    stage.check(&produced);
    tell(&format!(
        "frozen at {} points, {} rows and {} changes, {:.0} s, {SEED}={seed}: nothing lost, \
         nothing doubled",
        points.len(),
        produced.ids.len(),
        produced.changes,
        started.elapsed().as_secs_f64()
    ));
    check_leftovers_expire(&stage);
    stage.forget_logs();
}

/// Each of three brokers dies in the middle of a batch, wherever that is: leaders and the coordinator
/// move with it, a process is killed in between, the broker comes back.
#[test]
fn brokers_that_die_in_the_middle_of_a_batch_lose_and_double_nothing() {
    let mut kafka = cluster(3);
    let Some(stage) = Stage::new("brokers die", &kafka.bootstrap()) else { return };
    let (mut dice, stop) = (Dice::new(seed()), AtomicBool::new(false));
    let points = [
        Point::Held("load", "be", "before"),
        Point::Held("prepare", "be", "after"),
        Point::Held("commit", "fe", "before"),
        Point::Said("step 5: writing the intent"),
        Point::Held("commit", "fe", "after"),
        Point::Said("step 6: committing"),
    ];
    let produced = thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        let producers = stage.produce(scope, &stop);
        let mut processes = [stage.tail(&[]), stage.tail(&[])];
        for (n, point) in points.into_iter().enumerate() {
            wait_for_progress(&stage, 2 * SOON);
            let name = format!("broker{n}");
            point.reach(&stage, &name, &processes[n % 2], &mut dice);
            kafka.kill(n % 3);
            thread::sleep(dice.millis(3_000));
            if n >= 3 {
                let fresh = stage.tail(&[]);
                std::mem::replace(&mut processes[n % 2], fresh).kill();
            }
            stage.scene.starrocks.release(&name).expect("released");
            wait_for_progress(&stage, 2 * SOON);
            processes.iter_mut().for_each(Process::check_runs);
            kafka.restart(n % 3).expect("it comes back");
        }
        stop.store(true, Ordering::Relaxed);
        let produced = producers.produced();
        stage.wait_for(&produced, 2 * SOON);
        processes.into_iter().for_each(Process::stop);
        produced
    });
    stage.check(&produced);
    tell(&format!(
        "{} brokers died, {} rows and {} changes: nothing lost, nothing doubled",
        points.len(),
        produced.ids.len(),
        produced.changes
    ));
    check_leftovers_expire(&stage);
    stage.forget_logs();
}
