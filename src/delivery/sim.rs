//! The proof by simulation: every single fault at every step, pairs and triples by seed, and the
//! deliberate defects that must be caught. `STARSINK_SIM_SECONDS` runs longer than the slice that
//! every test run makes; `STARSINK_SIM_SEED` says where the random schedules begin.

// How many schedules were run is what a person starts a long run for.
#![allow(clippy::print_stdout)]

mod frontend;
mod group;
mod story;
mod world;

use world::{End, FAULTS, Fault, Schedule, World};

use super::{Mode, Mutation};

fn schedule(seed: u64, faults: Vec<(usize, Fault)>) -> Schedule {
    Schedule { seed, processes: 2, mode: Mode::ExactlyOnce, plain: false, faults, mutation: None }
}

fn run(schedule: &Schedule) -> End {
    World::new(schedule.clone()).run()
}

/// The last steps of a run, for a failure message.
fn trace(schedule: &Schedule, lines: usize) -> String {
    let mut world = World::new(schedule.clone());
    world.trace = Some(vec![]);
    world.run();
    let trace = world.trace.take().unwrap_or_default();
    let shorten = |line: &String| line.chars().take(260).collect::<String>();
    let last = trace[trace.len().saturating_sub(lines)..].iter().map(shorten);
    last.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(schedule: &Schedule) -> End {
    let end = run(schedule);
    if let End::Broken(what) = &end {
        panic!("{what}\n{schedule:?}\n{}", trace(schedule, lines_shown()));
    }
    end
}

#[test]
fn without_faults_everything_comes_to_rest() {
    for seed in 0..20 {
        assert!(matches!(check(&schedule(seed, vec![])), End::Rest(_)));
    }
}

/// A reproducible stream of numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

/// The schedule that belongs to a seed: two or three processes, one to five faults, the first of
/// them early enough to strike a run that would otherwise be over.
fn sampled(seed: u64) -> Schedule {
    let mut dice = Dice(seed);
    let processes = 2 + dice.roll(2);
    let count = [1, 2, 2, 2, 3, 3, 4, 5][dice.roll(8)];
    let mut step = 0;
    let mut faults = vec![];
    for _ in 0..count {
        let span = if dice.roll(3) == 0 { 10 } else { 90 };
        step += 1 + dice.roll(span);
        faults.push((step, FAULTS[dice.roll(FAULTS.len())]));
    }
    Schedule { seed, processes, mode: Mode::ExactlyOnce, plain: false, faults, mutation: None }
}

/// The same against a server without transactions. Its labels stay remembered: that is the
/// condition under which the promise holds.
fn plain(schedule: Schedule) -> Schedule {
    let faults = schedule.faults.into_iter().filter(|(_, fault)| *fault != Fault::Sweep).collect();
    Schedule { plain: true, faults, ..schedule }
}

/// How many schedules ran, and how many of them ended in doubt.
#[derive(Default)]
struct Tally {
    schedules: u64,
    in_doubt: u64,
}

impl Tally {
    fn run(&mut self, schedule: &Schedule) {
        self.schedules += 1;
        self.in_doubt += u64::from(check(schedule) == End::InDoubt);
    }
}

#[test]
fn every_single_fault_at_every_step_is_survived() {
    let mut tally = Tally::default();
    let End::Rest(steps) = check(&schedule(0, vec![])) else { panic!("not at rest") };
    for step in 1..=steps {
        for fault in FAULTS {
            tally.run(&schedule(0, vec![(step, fault)]));
        }
    }
    println!("{} schedules with one fault, {} in doubt", tally.schedules, tally.in_doubt);
}

#[test]
fn sampled_faults_in_any_order_are_survived() {
    let first = number("STARSINK_SIM_SEED").unwrap_or(1);
    let mut tally = Tally::default();
    match number("STARSINK_SIM_SECONDS") {
        None => (first..first + 2_500).for_each(|seed| tally.run(&sampled(seed))),
        Some(seconds) => {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
            let seeds = (first..).take_while(|_| std::time::Instant::now() < end);
            seeds.for_each(|seed| tally.run(&sampled(seed)));
        }
    }
    let last = first + tally.schedules - 1;
    let in_doubt = tally.in_doubt;
    println!("{} schedules, seeds {first} to {last}, {in_doubt} in doubt", tally.schedules);
}

#[test]
fn plain_loads_are_loaded_once_while_their_labels_are_remembered() {
    let first = number("STARSINK_SIM_SEED").unwrap_or(1);
    let mut tally = Tally::default();
    let End::Rest(steps) = check(&plain(schedule(0, vec![]))) else { panic!("not at rest") };
    for step in 1..=steps {
        for fault in FAULTS {
            tally.run(&plain(schedule(0, vec![(step, fault)])));
        }
    }
    match number("STARSINK_SIM_SECONDS") {
        None => (first..first + 1_500).for_each(|seed| tally.run(&plain(sampled(seed)))),
        Some(seconds) => {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
            let seeds = (first..).take_while(|_| std::time::Instant::now() < end);
            seeds.for_each(|seed| tally.run(&plain(sampled(seed))));
        }
    }
    println!("{} schedules of plain loads, {} in doubt", tally.schedules, tally.in_doubt);
    assert_eq!(tally.in_doubt, 0, "remembered labels leave no doubt");
}

/// Plain loads whose rows are refused, while their partitions change hands.
fn refusing(seed: u64) -> Schedule {
    use Fault::*;
    let mut dice = Dice(seed);
    let others = [
        Crash(0),
        Crash(1),
        Crash(2),
        Pause(0),
        Pause(1),
        Pause(2),
        Nap(0),
        Nap(1),
        Nap(2),
        Rebalance,
    ];
    let mut step = 1 + dice.roll(60);
    let mut faults = vec![(step, RowRefused)];
    for _ in 0..2 + dice.roll(4) {
        let span = [6, 40, 200][dice.roll(3)];
        step += 1 + dice.roll(span);
        let other = others[dice.roll(others.len())];
        faults.push((step, if dice.roll(4) == 0 { RowRefused } else { other }));
    }
    Schedule { faults, plain: true, processes: 3, ..sampled(seed) }
}

#[test]
fn refused_rows_of_plain_loads_give_way_whoever_has_the_batch() {
    let first = number("STARSINK_SIM_SEED").unwrap_or(1);
    let mut tally = Tally::default();
    match number("STARSINK_SIM_SECONDS") {
        None => (first..first + 1_500).for_each(|seed| tally.run(&refusing(seed))),
        Some(seconds) => {
            let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
            let seeds = (first..).take_while(|_| std::time::Instant::now() < end);
            seeds.for_each(|seed| tally.run(&refusing(seed)));
        }
    }
    println!("{} schedules of refused rows, {} in doubt", tally.schedules, tally.in_doubt);
    assert_eq!(tally.in_doubt, 0, "remembered labels leave no doubt");
}

#[test]
fn at_least_once_loses_nothing() {
    let mut tally = Tally::default();
    for seed in 0..600 {
        let schedule = Schedule { mode: Mode::AtLeastOnce, ..sampled(seed) };
        tally.run(&schedule);
        tally.run(&plain(schedule));
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// How much of a failed run is shown.
fn lines_shown() -> usize {
    number("STARSINK_SIM_LINES").map_or(60, |lines| lines as usize)
}

/// Faults that bring a defect to light sooner than any would.
fn telling(mutation: Mutation) -> &'static [Fault] {
    use Fault::*;
    match mutation {
        Mutation::NotLoadedReadAsAborted | Mutation::OwnRangesReplayed => {
            &[Crash(0), Crash(1), Pause(0), Pause(1), EffectLate, Rebalance, RequestLost]
        }
        Mutation::OrphansBeforeClaim => &[Pause(0), Pause(1), Rebalance],
        Mutation::OneOwedRange => &[RefuseNext(0), RefuseNext(1), RefuseNext(0), Crash(0)],
        Mutation::AbortReadAsAborted => &[RefuseNext(0), RefuseNext(1), Sweep, Crash(0), Crash(1)],
        Mutation::NoRejoinAfterClaim
        | Mutation::NoRejoinAfterFinalise
        | Mutation::NoRejoinAfterIntent => &[WriteLate, WriteOnlyLate, Crash(0), Crash(1)],
        _ => &FAULTS,
    }
}

/// A schedule made of the telling faults, later in the run than [`sampled`] goes.
fn hunting(mutation: Mutation, seed: u64) -> Schedule {
    let mut dice = Dice(seed);
    let faults = telling(mutation);
    let count = 2 + dice.roll(4);
    let mut step = 0;
    let mut chosen = vec![];
    for _ in 0..count {
        let span = [20, 100, 100, 1000][dice.roll(4)];
        step += 1 + dice.roll(span);
        chosen.push((step, faults[dice.roll(faults.len())]));
    }
    let is_plain =
        matches!(mutation, Mutation::NotLoadedReadAsAborted | Mutation::OwnRangesReplayed);
    Schedule { faults: chosen, plain: is_plain, mutation: Some(mutation), ..sampled(seed) }
}

/// Runs schedules with one defect until an invariant catches it: which seed, and what it said.
fn caught_by(mutation: Mutation, most: u64) -> Option<(u64, String)> {
    (0..most).find_map(|seed| {
        let schedule = hunting(mutation, seed);
        match run(&schedule) {
            // Coming to no rest would be caught, too, but says less.
            End::Broken(what) if what.starts_with('I') => {
                check(&Schedule { mutation: None, ..schedule });
                Some((seed, what))
            }
            End::Broken(_) | End::Rest(_) | End::InDoubt => None,
        }
    })
}

/// Every deliberate defect, and which invariant is expected to speak up first.
const DEFECTS: [Mutation; 19] = [
    Mutation::CommitBeforeIntent,
    Mutation::RollBackAfterIntent,
    Mutation::ReadUncommitted,
    Mutation::LabelWithoutAttempt,
    Mutation::FinaliseBeforeLastCommit,
    Mutation::FewerPartitionsFetched,
    Mutation::PreparedStateAccepted,
    Mutation::OneUnknownBelieved,
    Mutation::BeginRepeated,
    Mutation::NoRejoinAfterClaim,
    Mutation::NoRejoinAfterFinalise,
    Mutation::NoRejoinAfterIntent,
    Mutation::OrphansBeforeClaim,
    Mutation::OrphansFromOnePartition,
    Mutation::OneOwedRange,
    Mutation::AbortReadAsAborted,
    Mutation::OneRunPerProcess,
    Mutation::NotLoadedReadAsAborted,
    Mutation::OwnRangesReplayed,
];

#[test]
fn every_deliberate_defect_is_caught_by_an_invariant() {
    for mutation in DEFECTS {
        let caught = caught_by(mutation, 5_000);
        let (seed, what) = caught.unwrap_or_else(|| panic!("{mutation:?} was not caught"));
        println!("{mutation:?}: seed {seed}: {what}");
    }
}
