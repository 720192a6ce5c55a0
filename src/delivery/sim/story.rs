//! Single stories told to one machine, step by step: what chance would take too long to find.

use crate::delivery::{
    Action, Answer, Doubt, Failure, Fetched, Input, Label, Machine, Millis, Mode, Mutation,
    OnUnknown, Op, Prefix, Refusal, RunId, Seq, Settings, Table, TableHash, TxnState, WriteOutcome,
};
use crate::record::{Offset, Partition};

const INTENT: &str =
    "sk1;r=00000000000000aa;n=3;e=9;q=2;t=0000000a;x=9000000;d=d;p=s;c=0000000000000007";
const CLAIM: &str = "sk1;r=00000000000000bb;n=0";

fn settings(is_idempotent: bool) -> Settings {
    Settings {
        mode: Mode::ExactlyOnce,
        is_plain: false,
        prefix: Prefix::of_name("s"),
        database: "d".into(),
        tables: vec![Table { name: "a".into(), is_idempotent }],
        fingerprint: 7,
        prepared_timeout_s: 86_400,
        prepared_timeout_is_ours: true,
        on_unknown: OnUnknown::Stop,
        metadata_limit_bytes: 4096,
        request: None,
        counts_records: false,
        restart: false,
        settle_only: false,
    }
}

fn fetched(records: [(u64, &str); 2]) -> Input {
    let one = |(number, (offset, text)): (usize, (u64, &str))| Fetched {
        partition: Partition::new("t", number as u32),
        committed: Some((Offset(offset), text.to_owned())),
    };
    Input::Fetched(Some(records.into_iter().enumerate().map(one).collect()))
}

/// Partition 0 is ours and carries the intent, partition 1 is another owner's. The label is
/// forgotten. Returns what is done after the two rounds of UNKNOWN, the second fetch saying that
/// partition 1 stands as given.
fn forgotten(mutation: Option<Mutation>, second: (u64, &str)) -> Vec<Action> {
    let mut machine = Machine::new(settings(false));
    machine.mutation = mutation;
    let label =
        Label { prefix: Prefix::of_name("s"), run: RunId(0xaa), seq: Seq(3), table: TableHash(10) };
    let answer = |op, answer| Input::Answered { label: label.clone(), op, answer };
    let unknown = || Answer::State(TxnState::Unknown);
    let mut now: Millis = 1_000_000;
    let partitions = vec![Partition::new("t", 0)];
    machine.handle(now, Input::Assigned { run: RunId(1), partitions });
    machine.handle(now, fetched([(5, INTENT), (5, INTENT)]));
    let mut actions = vec![];
    for _ in 0..2 {
        machine.handle(now, answer(Op::AskState, unknown()));
        let pressed = machine.handle(now, answer(Op::AskStateEverywhere, unknown()));
        assert!(pressed.contains(&Action::Commit { label: label.clone() }), "{pressed:?}");
        actions = machine.handle(now, answer(Op::Commit, Answer::Refused(Refusal::NotFound)));
        let is_asked = |a: &Action| matches!(a, Action::FetchOffsets | Action::WriteOffsets(_));
        if actions.iter().any(is_asked) {
            break;
        }
        now += 120_000;
        machine.handle(now, Input::Tick);
    }
    if actions.contains(&Action::FetchOffsets) {
        actions = machine.handle(now, fetched([(5, INTENT), second]));
        if actions.contains(&Action::AskHistory { label: label.clone() }) {
            actions = machine.handle(now, answer(Op::AskHistory, Answer::Finished(false)));
        }
    }
    actions
}

fn claimed_at(actions: &[Action]) -> Option<Offset> {
    actions.iter().find_map(|action| match action {
        Action::WriteOffsets(writes) => Some(writes[0].offset),
        _ => None,
    })
}

fn is_in_doubt(actions: &[Action]) -> bool {
    let doubt =
        |a: &Action| matches!(a, Action::Fail(Failure::InDoubt { why: Doubt::Forgotten, .. }));
    actions.iter().any(doubt)
}

#[test]
fn a_forgotten_label_of_a_complete_intent_is_inferred_to_be_committed() {
    assert_eq!(claimed_at(&forgotten(None, (5, INTENT))), Some(Offset(9)));
}

#[test]
fn nothing_is_inferred_once_another_owner_has_decided() {
    assert!(is_in_doubt(&forgotten(None, (5, CLAIM))));
    assert!(is_in_doubt(&forgotten(None, (5, &INTENT.replace(";c=", ";v=a;c=")))));
}

/// The defect "UNKNOWN read as committed without the second fetch": I2 would be broken, because
/// the other owner may have aborted the label before it was forgotten.
#[test]
fn without_the_second_fetch_an_aborted_batch_would_be_skipped() {
    let actions = forgotten(Some(Mutation::NoSecondFetch), (5, CLAIM));
    assert_eq!(claimed_at(&actions), Some(Offset(9)));
}

/// Partition 0 carries a plain load's intent, and partition 1 either as well or not any more. The label is
/// aborted, asked twice, two minutes apart. Returns what followed each answer.
fn aborted(other: &str) -> [Vec<Action>; 2] {
    let mut machine = Machine::new(Settings { is_plain: true, ..settings(false) });
    let label =
        Label { prefix: Prefix::of_name("s"), run: RunId(0xaa), seq: Seq(3), table: TableHash(10) };
    let mut now: Millis = 1_000_000;
    let partitions = vec![Partition::new("t", 0)];
    machine.handle(now, Input::Assigned { run: RunId(1), partitions });
    machine.handle(now, fetched([(5, &INTENT.replace(";c=", ";m=p;c=")), (5, other)]));
    let mut ask = |machine: &mut Machine| {
        let answer = Answer::State(TxnState::Aborted);
        let actions =
            machine.handle(now, Input::Answered { label: label.clone(), op: Op::AskState, answer });
        now += 120_000;
        machine.handle(now, Input::Tick);
        actions
    };
    [ask(&mut machine), ask(&mut machine)]
}

#[test]
fn a_plain_load_that_another_owner_saw_refused_is_read_again_once_that_is_sure() {
    let is_replayed = |a: &Action| matches!(a, Action::Replay { .. });
    let whole = aborted(&INTENT.replace(";c=", ";m=p;c="));
    assert!(whole[0].iter().any(is_replayed), "only its own label shuts it out: {whole:?}");
    let given_up = aborted(CLAIM);
    // One leader's word may be an old one.
    assert!(matches!(given_up[0][..], [Action::Say(_), Action::WakeAt(_)]), "{:?}", given_up[0]);
    assert_eq!(claimed_at(&given_up[1]), Some(Offset(5)), "{:?}", given_up[1]);
}

#[test]
fn metadata_of_somebody_else_stops_the_run() {
    let mut machine = Machine::new(settings(false));
    let partitions = vec![Partition::new("t", 0)];
    machine.handle(0, Input::Assigned { run: RunId(1), partitions });
    let actions = machine.handle(0, fetched([(5, "another tool"), (5, "")]));
    assert!(matches!(actions[..], [Action::Fail(Failure::ForeignMetadata { .. })]), "{actions:?}");
}

#[test]
fn a_batch_that_is_pending_in_another_database_stops_the_run() {
    let mut machine = Machine::new(settings(false));
    let partitions = vec![Partition::new("t", 0)];
    machine.handle(0, Input::Assigned { run: RunId(1), partitions });
    let elsewhere = INTENT.replace(";d=d", ";d=other");
    let actions = machine.handle(0, fetched([(5, &elsewhere), (5, "")]));
    let is_refused = |action: &Action| matches!(action, Action::Fail(Failure::OtherDatabase { database, .. }) if database == "other");
    assert!(actions.iter().any(is_refused), "{actions:?}");
    let asks = |action: &Action| matches!(action, Action::AskState { .. } | Action::Commit { .. });
    assert!(!actions.iter().any(asks), "{actions:?}");
}

#[test]
fn a_java_connectors_offset_is_carried_on() {
    let mut machine = Machine::new(settings(false));
    let partitions = vec![Partition::new("t", 0)];
    machine.handle(0, Input::Assigned { run: RunId(1), partitions });
    let actions = machine.handle(0, fetched([(5, ""), (5, "")]));
    assert_eq!(claimed_at(&actions), Some(Offset(5)));
    let started = machine.handle(0, Input::Written(WriteOutcome::Ok));
    assert!(started.iter().any(|action| matches!(action, Action::Start { .. })), "{started:?}");
}
