//! Two or three processes, a frontend and a group on one clock. Every event is one step; faults
//! strike at a chosen step; the invariants are checked as things happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use super::frontend::{Frontend, Row};
use super::group::{Group, Member};
use crate::delivery::cursor::Cursor;
use crate::delivery::{
    Action, Answer, CursorWrite, Failure, Fetched, Input, Label, Machine, Millis, Mode, Mutation,
    OnUnknown, Op, Opening, Prefix, Refusal, RunId, Seq, Settings, StartAt, Table, TableHash,
    Taken, WriteError, WriteOutcome,
};
use crate::record::{Offset, OffsetRange, Partition};

pub(super) const PARTITIONS: u32 = 3;
const RECORDS: u64 = 5;
const TABLES: [&str; 2] = ["a", "b"];
const START_MS: Millis = 1_000_000_000;
const SESSION_MS: Millis = 10_000;
const MAX_STEPS: usize = 40_000;
/// What StarRocks says of rows that it refuses.
const ROWS: &str = "too many filtered rows";

/// What may go wrong. Those of a request or a write wait for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Crash(usize),
    /// SIGSTOP for a minute, or for just longer than the session of ten seconds, so that it wakes
    /// up in the middle of what the others do with its partitions.
    Pause(usize),
    /// SIGSTOP for less than the session.
    Nap(usize),
    Rebalance,
    /// SIGTERM: it settles what it has begun, leaves the group and is started again.
    Stop(usize),
    RequestLost,
    AnswerLost,
    AnswerSlow,
    /// The answer is lost now, the effect comes half a minute later.
    EffectLate,
    /// F7b.
    PrepareRolledBack,
    /// A prepare's answer is lost, nothing else happens.
    PrepareLost,
    CommitLost,
    LoadRefused,
    /// One row of the next load is refused, now and ever after.
    RowRefused,
    BeginLost,
    WriteLost,
    WriteAnswerLost,
    /// The answer is lost and a copy of the request arrives later, too.
    WriteLate,
    /// Only a late copy arrives.
    WriteOnlyLate,
    FetchFails,
    LeaderRestart,
    BackendLost,
    Stale,
    StaleEmpty,
    Sweep,
    RefuseCommits,
    RefuseTable(usize),
    /// F8 for the next label of this table that is prepared.
    RefuseNext(usize),
}

pub(super) const FAULTS: [Fault; 35] = [
    Fault::Crash(0),
    Fault::Crash(1),
    Fault::Pause(0),
    Fault::Pause(1),
    Fault::Nap(0),
    Fault::Nap(1),
    Fault::Rebalance,
    Fault::RequestLost,
    Fault::AnswerLost,
    Fault::AnswerSlow,
    Fault::EffectLate,
    Fault::PrepareRolledBack,
    Fault::PrepareLost,
    Fault::CommitLost,
    Fault::LoadRefused,
    Fault::BeginLost,
    Fault::WriteLost,
    Fault::WriteAnswerLost,
    Fault::WriteLate,
    Fault::WriteOnlyLate,
    Fault::FetchFails,
    Fault::LeaderRestart,
    Fault::BackendLost,
    Fault::Stale,
    Fault::StaleEmpty,
    Fault::Sweep,
    Fault::RefuseCommits,
    Fault::RefuseTable(0),
    Fault::RefuseTable(1),
    Fault::RefuseNext(0),
    Fault::RefuseNext(1),
    Fault::Crash(2),
    Fault::Stop(0),
    Fault::Stop(1),
    Fault::RowRefused,
];

/// One run: everything that decides its course.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) seed: u64,
    pub(super) processes: usize,
    pub(super) mode: Mode,
    /// No transaction interface.
    pub(super) plain: bool,
    pub(super) faults: Vec<(usize, Fault)>,
    pub(super) mutation: Option<Mutation>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// All loaded, everything at rest, after so many steps.
    Rest(usize),
    /// Stopped for a person to decide; nothing lost or doubled.
    InDoubt,
    /// An invariant was broken.
    Broken(String),
}

#[derive(Debug)]
enum Event {
    Input(Input),
    /// The result of a synchronous group request.
    Sync(Input),
    Request {
        label: Label,
        op: Op,
        rows: Vec<Row>,
        timeout_s: u64,
    },
    Execute,
    Assigned {
        member: Member,
        generation: u64,
        partitions: Vec<u32>,
    },
    AskRevoke {
        member: Member,
    },
    DrainExpired {
        member: Member,
    },
    Lost {
        member: Member,
    },
    Join,
    Resume,
    Stop,
    StopExpired,
}

#[derive(Debug)]
enum Happening {
    /// For one life of one process.
    Process {
        process: usize,
        life: u32,
        event: Event,
    },
    Expire {
        member: Member,
    },
    RejoinDeadline {
        generation: u64,
    },
    LateWrite {
        member: Member,
        generation: u64,
        writes: Vec<CursorWrite>,
        run: u64,
    },
    LateRequest {
        label: Label,
        op: Op,
        rows: Vec<Row>,
        timeout_s: u64,
    },
    Restart {
        process: usize,
    },
}

#[derive(Debug, Default)]
struct Process {
    life: u32,
    machine: Option<Machine>,
    member: Option<Member>,
    generation: u64,
    assigned: Vec<u32>,
    blocked: bool,
    paused: bool,
    held: Vec<Event>,
    inbox: VecDeque<Event>,
    batch: Option<Filling>,
    readings: BTreeMap<u32, Reading>,
    failed: Option<Failure>,
    run: u64,
    /// Intents that this life knows to be written: acknowledged or read back.
    known: BTreeSet<(u64, u64)>,
    /// Intents that this life tried to write.
    attempted: BTreeSet<(u64, u64)>,
    prepared: BTreeSet<Label>,
    /// Rows of plain loads, kept until the next start of reading.
    kept: BTreeMap<Label, Vec<Row>>,
    /// Rows known to be refused: set aside by batches of their own.
    condemned: BTreeSet<Row>,
    stopped: Option<Stopped>,
    stop_expired: bool,
}

/// Where a stop found a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    /// Unassigned or in step 1: what is pending there may stay for the next start.
    InStepOne,
    /// Steps 2 to 7: what it has intended, it settles.
    AtWork,
}

#[derive(Debug, Clone)]
struct Reading {
    next: u64,
    /// A replay ends here.
    until: Option<u64>,
    owed: Vec<(u64, Vec<TableHash>)>,
}

#[derive(Debug)]
struct Filling {
    seq: Seq,
    ends: BTreeMap<u32, (u64, u64)>,
    rows: BTreeMap<Label, Vec<Row>>,
    begun: BTreeSet<Label>,
    loaded: BTreeSet<Label>,
    records: u64,
    aside: Vec<Row>,
    is_full: bool,
    is_sealing: bool,
    is_replay: bool,
}

struct Scheduled {
    at: Millis,
    order: u64,
    happening: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

pub(super) struct World {
    schedule: Schedule,
    now: Millis,
    order: u64,
    step: usize,
    random: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    frontend: Frontend,
    group: Group,
    processes: Vec<Process>,
    armed: Vec<Fault>,
    broken: Option<String>,
    delivered: BTreeSet<Row>,
    /// Rows that are refused whoever loads them.
    bad: BTreeSet<Row>,
    /// Of these, dead letters.
    set_aside: BTreeSet<Row>,
    /// I10: highest offset committed per partition and table.
    highest: BTreeMap<(u32, TableHash), u64>,
    /// Intents for which `v=a` stands or stood in a record.
    aborts: BTreeSet<(u64, u64)>,
    /// Every intent ever applied, with its labels.
    intents: BTreeMap<(u64, u64), Vec<Label>>,
    /// Every batch ever filled, by `(r, n)`.
    filled: BTreeSet<(u64, u64)>,
    f8_struck: bool,
    /// I13: the rows that each plain load was first sent with.
    contents: BTreeMap<Label, BTreeSet<Row>>,
    pub(super) trace: Option<Vec<String>>,
}

/// Where the rows of a record go; some records go nowhere.
fn routes(partition: u32, offset: u64) -> &'static [&'static str] {
    match (u64::from(partition) + offset) % 5 {
        0 | 4 => &TABLES,
        1 => &TABLES[..1],
        2 => &TABLES[1..],
        _ => &[],
    }
}

fn partition(number: u32) -> Partition {
    Partition::new("t", number)
}

impl World {
    pub(super) fn new(schedule: Schedule) -> World {
        let mut world = World {
            now: START_MS,
            order: 0,
            step: 0,
            random: schedule.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            queue: BinaryHeap::new(),
            frontend: Frontend::default(),
            group: Group::default(),
            processes: (0..schedule.processes).map(|_| Process::default()).collect(),
            armed: vec![],
            broken: None,
            delivered: BTreeSet::new(),
            bad: BTreeSet::new(),
            set_aside: BTreeSet::new(),
            highest: BTreeMap::new(),
            aborts: BTreeSet::new(),
            intents: BTreeMap::new(),
            filled: BTreeSet::new(),
            f8_struck: false,
            contents: BTreeMap::new(),
            trace: None,
            schedule,
        };
        world.frontend.history_is_kept = world.schedule.seed % 3 == 1;
        for process in 0..world.processes.len() {
            world.after(process as u64, Happening::Restart { process });
        }
        world
    }

    fn settings(&self) -> Settings {
        let table = |name: &str| Table { name: name.into(), is_idempotent: false };
        Settings {
            mode: self.schedule.mode,
            is_plain: self.schedule.plain,
            prefix: Prefix::of_name("sim"),
            database: "d".into(),
            tables: TABLES.iter().map(|name| table(name)).collect(),
            fingerprint: 7,
            prepared_timeout_s: 14_400,
            prepared_timeout_is_ours: true,
            on_unknown: OnUnknown::Stop,
            metadata_limit_bytes: 4096,
            request: Some(3),
            counts_records: true,
            restart: false,
            settle_only: false,
        }
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn after(&mut self, delay: Millis, happening: Happening) {
        self.order += 1;
        let at = self.now + delay;
        self.queue.push(Reverse(Scheduled { at, order: self.order, happening }));
    }

    fn to(&mut self, process: usize, delay: Millis, event: Event) {
        let life = self.processes[process].life;
        self.after(delay, Happening::Process { process, life, event });
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>5} {:>9} {}", self.step, self.now - START_MS, text()));
        }
    }

    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            let what = what();
            self.note(|| format!("BROKEN {what}"));
            self.broken = Some(what);
        }
    }

    fn mutated(&self, mutation: Mutation) -> bool {
        self.schedule.mutation == Some(mutation)
    }

    /// Runs to the end.
    pub(super) fn run(&mut self) -> End {
        while let Some(Reverse(next)) = self.queue.pop() {
            self.now = self.now.max(next.at);
            self.step += 1;
            self.frontend.pass_time(self.now);
            for index in 0..self.schedule.faults.len() {
                let (at, fault) = self.schedule.faults[index];
                if at == self.step {
                    self.strike(fault);
                }
            }
            self.happen(next.happening);
            if let Some(broken) = self.broken.take() {
                return End::Broken(broken);
            }
            if self.is_at_rest() {
                return self.rest();
            }
            if self.step > MAX_STEPS {
                return self.stuck("too many steps");
            }
        }
        self.stuck("nothing left to happen")
    }

    fn stuck(&mut self, why: &str) -> End {
        let in_doubt =
            self.processes.iter().any(|p| matches!(p.failed, Some(Failure::InDoubt { .. })));
        if in_doubt { End::InDoubt } else { End::Broken(format!("never at rest: {why}")) }
    }

    fn is_at_rest(&self) -> bool {
        let is_final = |p: u32| {
            self.group
                .committed
                .get(&p)
                .is_some_and(|(offset, metadata)| *offset == RECORDS && !metadata.contains(";e="))
        };
        (0..PARTITIONS).all(is_final)
            && self.processes.iter().all(|p| p.machine.as_ref().is_none_or(Machine::is_idle))
    }

    fn rest(&mut self) -> End {
        for p in 0..PARTITIONS {
            for offset in 0..RECORDS {
                self.require_delivered(p, offset);
            }
        }
        if self.schedule.faults.is_empty() {
            let open = self.frontend.txns.values().filter(|txn| !txn.state.is_terminal()).count();
            self.require(open == 0, || format!("I12: {open} labels left open at rest"));
        }
        self.recover_again();
        match self.broken.take() {
            Some(broken) => End::Broken(broken),
            None => End::Rest(self.step),
        }
    }

    /// I11: one more recovery, over everything, changes no position.
    fn recover_again(&mut self) {
        let mut machine = Machine::new(self.settings());
        let partitions = (0..PARTITIONS).map(partition).collect();
        machine.handle(self.now, Input::Assigned { run: RunId(1), partitions });
        let one = |(&number, (offset, text)): (&u32, &(u64, String))| Fetched {
            partition: partition(number),
            committed: Some((Offset(*offset), text.clone())),
        };
        let list = self.group.committed.iter().map(one).collect();
        let claims = machine.handle(self.now, Input::Fetched(Some(list)));
        let is_same = claims.iter().any(|action| match action {
            Action::WriteOffsets(writes) => writes.iter().all(|write| write.offset.0 == RECORDS),
            _ => false,
        });
        self.require(is_same, || format!("I11: recovered to {claims:?}"));
    }

    fn require_delivered(&mut self, p: u32, offset: u64) {
        for table in routes(p, offset) {
            let row = (p, offset, TableHash::of(table));
            let is_there = self.delivered.contains(&row) || self.set_aside.contains(&row);
            self.require(is_there, || format!("I2: t[{p}]@{offset} is missing in {table}"));
        }
    }

    fn strike(&mut self, fault: Fault) {
        self.note(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::Crash(process) if process < self.processes.len() => self.crash(process),
            Fault::Pause(process) => {
                let for_ms = [60_000, SESSION_MS + 3 + self.roll(150)][self.roll(2) as usize];
                self.pause(process, for_ms);
            }
            Fault::Stop(process) => {
                if self.processes[process].machine.is_some() {
                    self.to(process, 0, Event::Stop);
                }
            }
            Fault::Nap(process) => self.pause(process, 6_000),
            Fault::Rebalance => self.rebalance(),
            Fault::LeaderRestart => self.frontend.restart(),
            Fault::BackendLost => self.frontend.lose_backend(),
            Fault::Stale => self.frontend.go_stale(self.now + 40_000, false),
            Fault::StaleEmpty => self.frontend.go_stale(self.now + 40_000, true),
            Fault::Sweep => self.frontend.sweep(),
            Fault::RefuseCommits => {
                self.f8_struck = true;
                self.frontend.refuse(None);
            }
            Fault::RefuseTable(index) => {
                self.f8_struck = true;
                self.frontend.refuse(Some(TableHash::of(TABLES[index])));
            }
            Fault::Crash(_) => {}
            waits_for_a_request => self.armed.push(waits_for_a_request),
        }
    }

    fn take_armed(&mut self, applies: impl Fn(Fault) -> bool) -> Option<Fault> {
        let index = self.armed.iter().position(|&fault| applies(fault))?;
        Some(self.armed.remove(index))
    }

    fn crash(&mut self, process: usize) {
        let p = &mut self.processes[process];
        if p.machine.is_none() {
            return;
        }
        let member = p.member;
        *p = Process { life: p.life + 1, run: p.run, ..Process::default() };
        if let Some(member) = member {
            self.after(SESSION_MS, Happening::Expire { member });
        }
        self.after(3_000, Happening::Restart { process });
    }

    fn pause(&mut self, process: usize, for_ms: Millis) {
        let p = &mut self.processes[process];
        if p.paused || p.machine.is_none() {
            return;
        }
        p.paused = true;
        let member = p.member;
        if let Some(member) = member.filter(|_| for_ms > SESSION_MS) {
            self.after(SESSION_MS, Happening::Expire { member });
        }
        self.to(process, for_ms, Event::Resume);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Process { process, life, event } => {
                if self.processes[process].life == life {
                    self.process(process, event);
                }
            }
            Happening::Expire { member } => self.expel(member),
            Happening::RejoinDeadline { generation } => {
                if self.group.is_rebalancing && self.group.generation == generation {
                    self.group.members.retain(|_, joined| *joined);
                    self.tell_the_expelled();
                    self.complete_rebalance();
                }
            }
            Happening::LateWrite { member, generation, writes, run } => {
                self.note(|| format!("late write of run {run:x}"));
                if self.group.accepts(member, generation) {
                    self.apply(&writes);
                }
            }
            Happening::LateRequest { label, op, rows, timeout_s } => {
                self.effect(&label, op, &rows, timeout_s);
            }
            Happening::Restart { process } => self.restart(process),
        }
    }

    fn restart(&mut self, process: usize) {
        let mut machine = Machine::new(self.settings());
        machine.mutation = self.schedule.mutation;
        self.processes[process].machine = Some(machine);
        self.join(process);
    }

    fn join(&mut self, process: usize) {
        let member = self.group.join();
        self.processes[process].member = Some(member);
        self.note(|| format!("process {process} joins as {member}"));
        self.rebalance();
        self.complete_if_joined();
    }

    fn rebalance(&mut self) {
        if !self.group.is_rebalancing {
            self.group.is_rebalancing = true;
            for joined in self.group.members.values_mut() {
                *joined = false;
            }
            let generation = self.group.generation;
            self.after(SESSION_MS, Happening::RejoinDeadline { generation });
        }
        for process in 0..self.processes.len() {
            let p = &self.processes[process];
            if let (Some(member), true) = (p.member, p.machine.is_some()) {
                let is_joined = self.group.members.get(&member).copied().unwrap_or(true);
                if !is_joined {
                    self.to(process, 5, Event::AskRevoke { member });
                }
            }
        }
    }

    fn joined(&mut self, process: usize) {
        if let Some(member) = self.processes[process].member
            && let Some(joined) = self.group.members.get_mut(&member)
        {
            *joined = true;
            self.complete_if_joined();
        }
    }

    fn complete_if_joined(&mut self) {
        let everybody = self.group.members.values().all(|joined| *joined);
        if self.group.is_rebalancing && everybody && !self.group.members.is_empty() {
            self.complete_rebalance();
        }
    }

    fn complete_rebalance(&mut self) {
        if self.group.members.is_empty() {
            self.group.is_rebalancing = false;
            return;
        }
        let shares = self.group.complete(PARTITIONS);
        let generation = self.group.generation;
        for (member, partitions) in shares {
            let owner = self.processes.iter().position(|p| p.member == Some(member));
            if let Some(process) = owner {
                self.to(process, 2, Event::Assigned { member, generation, partitions });
            }
        }
    }

    fn expel(&mut self, member: Member) {
        let owner = self.processes.iter().position(|p| p.member == Some(member));
        if owner.is_some_and(|process| !self.processes[process].paused) {
            return;
        }
        if self.group.members.remove(&member).is_some() {
            self.note(|| format!("member {member} expelled"));
            self.rebalance();
            self.complete_if_joined();
        }
    }

    /// A member that missed the rebalance finds out at its next heartbeat.
    fn tell_the_expelled(&mut self) {
        for process in 0..self.processes.len() {
            let member = self.processes[process].member;
            if let Some(member) = member.filter(|m| !self.group.members.contains_key(m)) {
                let delay = self.roll(3_000);
                self.to(process, delay, Event::Lost { member });
            }
        }
    }

    fn process(&mut self, process: usize, event: Event) {
        let p = &mut self.processes[process];
        if p.machine.is_none() {
            return;
        }
        if p.paused && !matches!(event, Event::Resume | Event::Request { .. }) {
            p.held.push(event);
            return;
        }
        match event {
            Event::Resume => {
                p.paused = false;
                let held = std::mem::take(&mut p.held);
                let lost = p.member.filter(|member| !self.group.members.contains_key(member));
                for event in held {
                    self.to(process, 0, event);
                }
                if let Some(member) = lost {
                    let delay = self.roll(60);
                    self.to(process, delay, Event::Lost { member });
                }
            }
            Event::Request { label, op, rows, timeout_s } => {
                self.request(process, label, op, rows, timeout_s);
            }
            Event::Sync(input) => {
                p.blocked = false;
                self.feed(process, input);
                self.drain_inbox(process);
            }
            event => {
                p.inbox.push_back(event);
                self.drain_inbox(process);
            }
        }
    }

    fn drain_inbox(&mut self, process: usize) {
        while !self.processes[process].blocked {
            let Some(event) = self.processes[process].inbox.pop_front() else { return };
            self.take_event(process, event);
        }
    }

    fn take_event(&mut self, process: usize, event: Event) {
        let current = self.processes[process].member;
        match event {
            Event::Input(input) => self.feed(process, input),
            Event::Execute => self.execute(process),
            Event::Assigned { member, generation, partitions } if current == Some(member) => {
                let p = &mut self.processes[process];
                p.generation = generation;
                p.assigned = partitions;
                self.assign(process);
            }
            Event::AskRevoke { member } if current == Some(member) => {
                let has_joined = self.group.members.get(&member).is_none_or(|joined| *joined);
                if has_joined || !self.group.is_rebalancing {
                    // Of a rebalance that is over.
                } else if self.processes[process].assigned.is_empty() {
                    self.joined(process);
                } else {
                    self.to(process, 5_000, Event::DrainExpired { member });
                    self.feed(process, Input::Revoked);
                }
            }
            Event::DrainExpired { member }
                if current == Some(member)
                    && self.group.is_rebalancing
                    && !self.processes[process].assigned.is_empty() =>
            {
                // A process that is told to end has no more time than its partitions.
                let p = &mut self.processes[process];
                p.stop_expired |= p.stopped.is_some();
                self.feed(process, Input::DrainExpired);
            }
            Event::Lost { member } if current == Some(member) => {
                self.processes[process].assigned.clear();
                self.processes[process].member = None;
                self.feed(process, Input::Lost);
                self.to(process, 10, Event::Join);
            }
            Event::Join => self.join(process),
            // A process is told once.
            Event::Stop if self.processes[process].stopped.is_some() => {}
            Event::Stop => {
                let p = &mut self.processes[process];
                let is_at_work = p.machine.as_ref().is_some_and(Machine::is_at_work);
                p.stopped = Some(if is_at_work { Stopped::AtWork } else { Stopped::InStepOne });
                self.to(process, 12_000, Event::StopExpired);
                self.feed(process, Input::Stop);
            }
            Event::StopExpired => {
                self.processes[process].stop_expired = true;
                self.feed(process, Input::DrainExpired);
            }
            _ => {}
        }
    }

    fn assign(&mut self, process: usize) {
        let fresh = self.roll(u64::MAX >> 12);
        let p = &mut self.processes[process];
        if p.run == 0 || self.schedule.mutation != Some(Mutation::OneRunPerProcess) {
            p.run = fresh << 8 | process as u64;
        }
        let partitions = p.assigned.iter().map(|&number| partition(number)).collect();
        let run = RunId(p.run);
        self.feed(process, Input::Assigned { run, partitions });
    }

    fn feed(&mut self, process: usize, input: Input) {
        if self.processes[process].failed.is_some() {
            return;
        }
        self.note(|| format!("p{process} <- {input:?}"));
        if let Input::Answered { label, op, answer } = &input {
            self.executor_answered(process, label, *op, answer);
        }
        if let Input::Fetched(Some(list)) = &input {
            self.learn(process, list);
        }
        if let Input::RowsRefused { label, .. } = &input {
            self.condemn(process, label);
        }
        if matches!(
            input,
            Input::Answered { op: Op::Load, .. }
                | Input::Answered { op: Op::Begin, answer: Answer::Ok, .. }
        ) {
            return;
        }
        let now = self.now;
        let machine = self.processes[process].machine.as_mut().expect("checked by the caller");
        for action in machine.handle(now, input) {
            self.act(process, action);
        }
    }

    /// Remembers intents read back, for I3.
    fn learn(&mut self, process: usize, list: &[Fetched]) {
        for fetched in list {
            let Some((_, metadata)) = &fetched.committed else { continue };
            if let Ok(Some(cursor)) = Cursor::parse(metadata)
                && cursor.intent.is_some()
            {
                self.processes[process].known.insert((cursor.run.0, cursor.seq.0));
            }
        }
    }

    fn act(&mut self, process: usize, action: Action) {
        if !matches!(action, Action::Say(_) | Action::WakeAt(_)) {
            self.note(|| format!("p{process} -> {action:?}"));
        }
        match action {
            Action::FetchOffsets => self.fetch(process),
            Action::WriteOffsets(writes) => self.write(process, writes),
            Action::ResolveStarts(partitions) => {
                let start = |partition| StartAt { partition, offset: Offset(0), until: None };
                let starts = partitions.into_iter().map(start).collect();
                self.to(process, 1, Event::Input(Input::Starts(starts)));
            }
            Action::Start { readings, counted, is_fresh } => {
                self.read_from(process, readings, false);
                let p = &mut self.processes[process];
                p.batch = None;
                if is_fresh {
                    p.kept.clear();
                }
                self.check_count(process, counted);
            }
            Action::Replay { seq, readings } => {
                self.read_from(process, readings, true);
                self.fill(process, seq, true);
            }
            Action::Fill { seq } => self.fill(process, seq, false),
            Action::Drop { seq } => {
                let p = &mut self.processes[process];
                p.batch.take_if(|batch| batch.seq == seq);
            }
            Action::Prepare { label, timeout_s } => {
                self.send(process, label, Op::Prepare, vec![], timeout_s);
            }
            Action::Commit { label } => {
                let key = (label.run.0, label.seq.0);
                let is_known = self.processes[process].known.contains(&key);
                let is_exact = self.schedule.mode == Mode::ExactlyOnce;
                self.require(is_known || !is_exact, || format!("I3: commit of {label} unintended"));
                let rows = self.rows_of_load(process, &label);
                self.send(process, label, Op::Commit, rows, 0);
            }
            Action::RollBack { label } => {
                self.check_rollback(process, &label);
                self.send(process, label, Op::RollBack, vec![], 0);
            }
            Action::Cancel { label } => {
                self.check_rollback(process, &label);
                self.send(process, label, Op::Cancel, vec![], 0);
            }
            Action::AskState { label } => self.send(process, label, Op::AskState, vec![], 0),
            Action::AskStateEverywhere { label } => {
                self.send(process, label, Op::AskStateEverywhere, vec![], 0);
            }
            Action::AskHistory { label } => self.send(process, label, Op::AskHistory, vec![], 0),
            Action::FlushDeadLetters => {
                let batch = self.processes[process].batch.as_ref();
                self.set_aside.extend(batch.iter().flat_map(|batch| &batch.aside));
                self.to(process, 1, Event::Input(Input::DeadLettersFlushed(true)));
            }
            Action::WakeAt(at) => {
                let delay = at.saturating_sub(self.now);
                self.to(process, delay, Event::Input(Input::Tick));
            }
            Action::Released => {
                self.processes[process].assigned.clear();
                self.processes[process].batch = None;
                self.joined(process);
            }
            Action::LeaveAndRejoin { pause_ms } => self.leave(process, Some(pause_ms)),
            Action::StartOver => {
                let p = &self.processes[process];
                let (generation, partitions) = (p.generation, p.assigned.clone());
                if let Some(member) = p.member {
                    self.to(process, 1, Event::Assigned { member, generation, partitions });
                }
            }
            Action::Fail(failure) => {
                let is_doubt = matches!(failure, Failure::InDoubt { .. });
                self.require(is_doubt, || format!("failed: {failure:?}"));
                self.processes[process].failed = Some(failure);
                self.leave(process, None);
            }
            Action::Settled(settlement) => self.check_settlement(&settlement),
            Action::Finished => self.finished(process),
            Action::Done(_) | Action::Say(_) => {}
        }
    }

    /// The search for the rows that were refused, cut short.
    fn condemn(&mut self, process: usize, label: &Label) {
        let p = &mut self.processes[process];
        let rows = match &p.batch {
            _ if self.schedule.plain => p.kept.get(label),
            batch => batch.as_ref().and_then(|batch| batch.rows.get(label)),
        };
        let found = rows.into_iter().flatten().filter(|row| self.bad.contains(row));
        let found: Vec<Row> = found.copied().collect();
        p.condemned.extend(found);
    }

    fn read_from(
        &mut self,
        process: usize,
        readings: Vec<crate::delivery::Reading>,
        bounded: bool,
    ) {
        let reading = |r: crate::delivery::Reading| {
            let owed = r.owed.into_iter().map(|o| (o.until.0, o.tables)).collect();
            let until = r.until.filter(|_| bounded).map(|until| until.0);
            (r.partition.number, Reading { next: r.from.0, until, owed })
        };
        self.processes[process].readings = readings.into_iter().map(reading).collect();
    }

    /// Offsets have no gaps here, so that as many records are counted as stand before the cursors.
    fn check_count(&mut self, process: usize, counted: u64) {
        if self.schedule.mode != Mode::ExactlyOnce {
            return;
        }
        let own: u64 = self.processes[process].readings.values().map(|r| r.next).sum();
        let is_possible = counted >= own && counted <= RECORDS * u64::from(PARTITIONS);
        let all_own = self.processes[process].readings.len() == PARTITIONS as usize;
        let is_exact = !all_own || counted == own;
        self.require(is_possible && is_exact, || {
            format!("I14: {counted} records counted, {own} stand before the own positions")
        });
    }

    /// A process that was at work, and was given the time, leaves no intent behind where it is the owner.
    fn finished(&mut self, process: usize) {
        let p = &self.processes[process];
        let is_owner = p.member.is_some_and(|member| self.group.accepts(member, p.generation));
        if is_owner && p.stopped == Some(Stopped::AtWork) && !p.stop_expired {
            for number in p.assigned.clone() {
                let cursor = self.group.committed.get(&number);
                let cursor = cursor.and_then(|(_, text)| Cursor::parse(text).ok()?);
                let is_pending = cursor.is_some_and(|cursor| cursor.intent.is_some());
                self.require(!is_pending, || format!("I12: ended with an intent on {number}"));
            }
        }
        self.leave(process, None);
        let p = &mut self.processes[process];
        *p = Process { life: p.life + 1, run: p.run, ..Process::default() };
        self.after(3_000, Happening::Restart { process });
    }

    fn check_settlement(&mut self, settlement: &crate::delivery::Settlement) {
        for label in &settlement.committed {
            let state = self.frontend.truth(label);
            self.require(state.is_committed(), || format!("I2: {label} settled, but is {state}"));
        }
        for label in &settlement.aborted {
            let state = self.frontend.truth(label);
            self.require(!state.is_committed(), || format!("I1: {label} is {state}, read again"));
        }
    }

    /// I13: a plain load carries the same rows every time.
    fn rows_of_load(&mut self, process: usize, label: &Label) -> Vec<Row> {
        if !self.schedule.plain {
            return vec![];
        }
        let rows = self.processes[process].kept.get(label).cloned().unwrap_or_default();
        let content: BTreeSet<Row> = rows.iter().copied().collect();
        let first = self.contents.entry(label.clone()).or_insert_with(|| content.clone());
        let is_same = *first == content && !content.is_empty();
        self.require(is_same, || format!("I13: {label} is loaded with other rows"));
        rows
    }

    fn leave(&mut self, process: usize, rejoin: Option<Millis>) {
        let p = &mut self.processes[process];
        p.assigned.clear();
        p.batch = None;
        if let Some(member) = p.member.take() {
            self.group.members.remove(&member);
            if !self.group.members.is_empty() {
                self.rebalance();
                self.complete_if_joined();
            }
        }
        if let Some(pause_ms) = rejoin {
            self.to(process, pause_ms, Event::Join);
        }
    }

    /// I4.
    fn check_rollback(&mut self, process: usize, label: &Label) {
        let key = (label.run.0, label.seq.0);
        let carried: Vec<bool> = self.carriers(key);
        // An intent tried under an earlier run of this process is dead once that run is: a later
        // claim was acknowledged, and copies of older generations are refused.
        let p = &self.processes[process];
        let is_tried = p.run == key.0 && p.attempted.contains(&key);
        let is_bound = is_tried || !carried.is_empty();
        let is_aborting = self.aborts.contains(&key);
        self.require(!is_bound || is_aborting, || format!("I4: {label} ended although intended"));
        let is_complete = carried.first().is_some_and(|_| self.is_complete(key));
        let may = !is_complete || self.f8_struck;
        self.require(may, || format!("I4: {label} ended although its intent is complete"));
    }

    /// Whether each record of this intent says `v=a`.
    fn carriers(&self, key: (u64, u64)) -> Vec<bool> {
        let cursors = self.group.committed.values().filter_map(|(_, m)| Cursor::parse(m).ok()?);
        let same = cursors.filter(|c| (c.run.0, c.seq.0) == key);
        same.filter_map(|c| c.intent.map(|intent| intent.abort_attempted)).collect()
    }

    fn is_complete(&self, key: (u64, u64)) -> bool {
        let cursors = self.group.committed.values().filter_map(|(_, m)| Cursor::parse(m).ok()?);
        let intents: Vec<u32> = cursors
            .filter(|c| (c.run.0, c.seq.0) == key)
            .filter_map(|c| c.intent.map(|intent| intent.partitions))
            .collect();
        intents.first().is_some_and(|&q| q as usize == intents.len())
    }

    fn fetch(&mut self, process: usize) {
        let fails = self.take_armed(|f| f == Fault::FetchFails).is_some();
        let own = self.processes[process].assigned.clone();
        let only_own = self.mutated(Mutation::FewerPartitionsFetched);
        let unstable = self.mutated(Mutation::ReadUncommitted);
        let source = if unstable { &self.group.before } else { &self.group.committed };
        let one = |number: u32| Fetched {
            partition: partition(number),
            committed: source.get(&number).map(|(offset, m)| (Offset(*offset), m.clone())),
        };
        let wanted = |number: &u32| !only_own || own.contains(number);
        let list = (0..PARTITIONS).filter(wanted).map(one).collect();
        self.processes[process].blocked = true;
        let (delay, result) = if fails { (1_000, None) } else { (1, Some(list)) };
        self.to(process, delay, Event::Sync(Input::Fetched(result)));
    }

    fn write(&mut self, process: usize, writes: Vec<CursorWrite>) {
        self.check_write(process, &writes);
        let p = &self.processes[process];
        let (member, generation, run) = (p.member.unwrap_or(0), p.generation, p.run);
        let intent = writes.iter().find_map(|write| {
            let cursor = Cursor::parse(&write.metadata).ok()??;
            cursor.intent.as_ref()?;
            Some((cursor.run.0, cursor.seq.0))
        });
        self.processes[process].attempted.extend(intent);
        let fault = self.take_armed(|f| {
            use Fault::{WriteAnswerLost, WriteLate, WriteLost, WriteOnlyLate};
            matches!(f, WriteLost | WriteAnswerLost | WriteLate | WriteOnlyLate)
        });
        let accepted = self.group.accepts(member, generation);
        let lands = !matches!(fault, Some(Fault::WriteLost | Fault::WriteOnlyLate));
        if accepted && lands {
            self.apply(&writes);
        }
        if matches!(fault, Some(Fault::WriteLate | Fault::WriteOnlyLate)) {
            let delay = [3, 40, 200, 900, 1_500, 3_000, 12_000, 130_000][self.roll(8) as usize];
            self.after(delay, Happening::LateWrite { member, generation, writes, run });
        }
        let (delay, outcome) = match fault {
            Some(_) => (5, WriteOutcome::Unknown(WriteError::Transient)),
            None if accepted => (1, WriteOutcome::Ok),
            None => (1, WriteOutcome::Unknown(WriteError::NotMember)),
        };
        if outcome == WriteOutcome::Ok {
            self.processes[process].known.extend(intent);
        }
        self.processes[process].blocked = true;
        self.to(process, delay, Event::Sync(Input::Written(outcome)));
    }

    /// I6, I8, I9 and what an intent may name, when an offset commit is asked for.
    fn check_write(&mut self, process: usize, writes: &[CursorWrite]) {
        for write in writes {
            let number = write.partition.number;
            let is_own = self.processes[process].assigned.contains(&number);
            self.require(is_own, || format!("I9: offset commit for {number}, not assigned"));
            self.require(write.metadata.len() <= 4096, || "I8: metadata too long".into());
            let cursor = Cursor::parse(&write.metadata).ok().flatten();
            self.require(cursor.is_some(), || format!("unreadable: {}", write.metadata));
            let Some(cursor) = cursor else { continue };
            if cursor.run.0 != self.processes[process].run || self.schedule.plain {
                continue;
            }
            for label in cursor.labels() {
                let was_ok = self.processes[process].prepared.contains(&label);
                self.require(was_ok, || format!("I3: {label} intended, its prepare not answered"));
            }
        }
    }

    /// I2, I5, I7 when an offset commit takes effect.
    fn apply(&mut self, writes: &[CursorWrite]) {
        for write in writes {
            let number = write.partition.number;
            let new = Cursor::parse(&write.metadata).ok().flatten();
            let new_key = new.as_ref().map(|cursor| (cursor.run.0, cursor.seq.0));
            if let Some(cursor) = new.as_ref().filter(|cursor| cursor.intent.is_some()) {
                self.check_order_of_intents(cursor);
                self.intents.insert((cursor.run.0, cursor.seq.0), cursor.labels());
                if cursor.intent.as_ref().is_some_and(|intent| intent.abort_attempted) {
                    self.aborts.insert((cursor.run.0, cursor.seq.0));
                }
            }
            let old = self.group.committed.get(&number).and_then(|(_, m)| Cursor::parse(m).ok()?);
            let old = old.filter(|old| old.intent.is_some());
            let old = old.filter(|old| {
                let is_same = new.as_ref().is_some_and(|new| new.intent.is_some());
                !(is_same && new_key == Some((old.run.0, old.seq.0)))
            });
            for label in old.iter().flat_map(Cursor::labels) {
                let state = self.frontend.truth(&label);
                let is_final = match self.schedule.plain {
                    true => state.is_committed() || self.is_refused_for_good(&label),
                    false => state.is_terminal(),
                };
                self.require(is_final, || format!("I5: {label} overwritten, {state}"));
            }
            if self.schedule.mode == Mode::ExactlyOnce {
                for offset in 0..write.offset.0 {
                    self.require_delivered(number, offset);
                }
            }
        }
        self.group.apply(writes);
    }

    /// A plain load with a row that is refused whoever sends it.
    fn is_refused_for_good(&self, label: &Label) -> bool {
        self.contents.get(label).is_some_and(|rows| !rows.is_disjoint(&self.bad))
    }

    /// I7: no intent n+1 while a label of n is not committed.
    fn check_order_of_intents(&mut self, cursor: &Cursor) {
        let (run, seq) = (cursor.run.0, cursor.seq.0);
        let earlier: Vec<Label> = self
            .intents
            .range((run, 0)..(run, seq))
            .flat_map(|(_, labels)| labels.clone())
            .collect();
        for label in earlier {
            let state = self.frontend.truth(&label);
            let is_over = state.is_committed() || self.is_refused_for_good(&label);
            self.require(is_over, || format!("I7: {label} is {state}, next intended"));
        }
    }

    fn send(&mut self, process: usize, label: Label, op: Op, rows: Vec<Row>, timeout_s: u64) {
        let delay = 1 + self.roll(3);
        self.to(process, delay, Event::Request { label, op, rows, timeout_s });
    }

    fn request(&mut self, process: usize, label: Label, op: Op, rows: Vec<Row>, timeout_s: u64) {
        let is_plain = self.schedule.plain;
        let fault = self.take_armed(|f| match f {
            Fault::RequestLost | Fault::AnswerLost | Fault::AnswerSlow | Fault::EffectLate => true,
            Fault::PrepareRolledBack | Fault::PrepareLost => op == Op::Prepare,
            Fault::CommitLost => op == Op::Commit,
            Fault::LoadRefused => op == Op::Load || is_plain && op == Op::Commit,
            Fault::BeginLost => op == Op::Begin,
            _ => false,
        });
        let (delay, answer) = match fault {
            Some(Fault::RequestLost) => (500, Answer::Lost),
            Some(Fault::LoadRefused) if is_plain => {
                self.frontend.abort_plain(self.now, &label);
                (1, Answer::Refused(Refusal::Other("too many versions".into())))
            }
            Some(Fault::LoadRefused) => (1, Answer::Refused(Refusal::Other("bad row".into()))),
            Some(Fault::EffectLate) => {
                let late = Happening::LateRequest { label: label.clone(), op, rows, timeout_s };
                self.after(30_000, late);
                (500, Answer::Lost)
            }
            Some(Fault::PrepareRolledBack) => {
                self.effect(&label, op, &rows, timeout_s);
                let at = [100, 1_100, 11_000, 130_000][self.roll(4) as usize];
                if let Some(txn) = self.frontend.txns.get_mut(&label) {
                    txn.rolls_back_at = Some(self.now + at);
                }
                (500, Answer::Lost)
            }
            Some(Fault::AnswerSlow) => {
                let delay = [2_000, 20_000, 150_000][self.roll(3) as usize];
                (delay, self.effect(&label, op, &rows, timeout_s))
            }
            Some(_) => {
                self.effect(&label, op, &rows, timeout_s);
                (500, Answer::Lost)
            }
            None => (1 + self.roll(3), self.effect(&label, op, &rows, timeout_s)),
        };
        let rows = Answer::Refused(Refusal::Other(ROWS.into()));
        self.to(
            process,
            delay,
            Event::Input(match answer {
                answer if answer == rows => Input::RowsRefused { label, why: ROWS.into() },
                answer => Input::Answered { label, op, answer },
            }),
        );
    }

    /// Whether a load with these rows is refused because of them.
    fn refuses_rows(&mut self, label: &Label, op: Op, rows: &[Row]) -> bool {
        if op != Op::Load || self.frontend.truth(label).is_committed() || rows.is_empty() {
            return false;
        }
        if self.take_armed(|fault| fault == Fault::RowRefused).is_some() {
            let index = self.roll(rows.len() as u64) as usize;
            // What was loaded once is a good row.
            if !self.delivered.contains(&rows[index]) {
                self.bad.insert(rows[index]);
            }
        }
        rows.iter().any(|row| self.bad.contains(row))
    }

    /// A request reaches the frontend; I1 and I10 are checked for rows it commits.
    fn effect(&mut self, label: &Label, op: Op, rows: &[Row], timeout_s: u64) -> Answer {
        if op == Op::Begin {
            let is_new = !self.frontend.begun.contains(label);
            self.require(is_new, || format!("I6: {label} begun twice"));
        }
        if op == Op::Prepare {
            let hits = |fault| match fault {
                Fault::RefuseNext(index) => label.table == TableHash::of(TABLES[index]),
                _ => false,
            };
            if self.take_armed(hits).is_some() {
                self.f8_struck = true;
                self.frontend.refused.insert(label.clone());
            }
        }
        let op = if self.schedule.plain && op == Op::Commit { Op::Load } else { op };
        if self.refuses_rows(label, op, rows) {
            if self.schedule.plain {
                self.frontend.abort_plain(self.now, label);
            }
            self.note(|| format!("FE {op:?} {label}: {ROWS}"));
            return Answer::Refused(Refusal::Other(ROWS.into()));
        }
        let (answer, committed) =
            self.frontend.request(self.now, self.schedule.plain, label, op, rows, timeout_s);
        self.note(|| format!("FE {op:?} {label} = {answer:?}"));
        if self.schedule.mode != Mode::ExactlyOnce {
            self.delivered.extend(committed);
            return answer;
        }
        let mut lows: BTreeMap<(u32, TableHash), (u64, u64)> = BTreeMap::new();
        for (p, offset, table) in committed {
            let is_first = self.delivered.insert((p, offset, table));
            self.require(is_first, || format!("I1: t[{p}]@{offset} twice in {table} by {label}"));
            let span = lows.entry((p, table)).or_insert((offset, offset));
            *span = (span.0.min(offset), span.1.max(offset));
        }
        for (key, (low, high)) in lows {
            let before = self.highest.insert(key, high);
            let is_ordered = before.is_none_or(|before| before < low);
            self.require(is_ordered, || format!("I10: rows of {key:?} out of order by {label}"));
        }
        answer
    }

    // The executor: reads, opens labels, loads, seals.

    fn fill(&mut self, process: usize, seq: Seq, is_replay: bool) {
        let run = self.processes[process].run;
        let is_new = is_replay || self.filled.insert((run, seq.0));
        self.require(is_new, || format!("I6: batch {run:x}/{seq} filled twice"));
        self.processes[process].batch = Some(Filling {
            seq,
            ends: BTreeMap::new(),
            rows: BTreeMap::new(),
            begun: BTreeSet::new(),
            loaded: BTreeSet::new(),
            records: 0,
            aside: vec![],
            is_full: false,
            is_sealing: false,
            is_replay,
        });
        self.to(process, 2, Event::Execute);
    }

    fn execute(&mut self, process: usize) {
        let limit = 2 + self.roll(3);
        // Half of the runs have a pause in their topics, so that batches are finalised alone.
        let more_at = START_MS + (self.schedule.seed % 2) * 1_300;
        let records = if self.now < more_at { RECORDS / 2 } else { RECORDS };
        let p = &mut self.processes[process];
        let Some(batch) = p.batch.as_mut().filter(|batch| !batch.is_sealing) else { return };
        let limit = if batch.is_replay { u64::MAX } else { limit };
        let is_open = |r: &Reading| r.next < r.until.unwrap_or(records);
        let next = p.readings.iter().filter(|(_, r)| is_open(r)).min_by_key(|(_, r)| r.next);
        let next = next.map(|(&number, r)| (number, r.next));
        // A record that is known to be refused makes a batch of its own: a plain load's label stands for
        // every record between its offsets, whoever loads them.
        let is_condemned = next.is_some_and(|(number, offset)| {
            let mut rows = TABLES.iter().map(|table| (number, offset, TableHash::of(table)));
            !batch.is_replay && rows.any(|row| p.condemned.contains(&row))
        });
        let has_room = batch.records < limit && !batch.is_full;
        let may_take = has_room && (!is_condemned || batch.records == 0);
        let Some((number, _)) = next.filter(|_| may_take) else {
            if !batch.ends.is_empty() {
                batch.is_sealing = true;
                self.load_if_begun(process);
            } else if self.now < more_at {
                self.to(process, more_at - self.now, Event::Execute);
            }
            return;
        };
        let reading = p.readings.get_mut(&number).expect("found just now");
        let offset = reading.next;
        reading.next += 1;
        let owed = reading.owed.iter().find(|(until, _)| offset < *until).map(|o| o.1.clone());
        batch.records += 1;
        batch.is_full |= is_condemned;
        batch.ends.entry(number).or_insert((offset, offset)).1 = offset + 1;
        let seq = batch.seq;
        for table in routes(number, offset) {
            let hash = TableHash::of(table);
            if owed.as_ref().is_some_and(|owed| !owed.contains(&hash)) {
                continue;
            }
            self.add_row(process, seq, table, (number, offset, hash));
        }
        self.to(process, 2, Event::Execute);
    }

    fn add_row(&mut self, process: usize, seq: Seq, table: &str, row: Row) {
        let p = &mut self.processes[process];
        if let Some(batch) = p.batch.as_mut().filter(|batch| !batch.is_replay)
            && p.condemned.contains(&row)
        {
            batch.aside.push(row);
            return;
        }
        let machine = p.machine.as_mut().expect("a running process");
        let (label, is_new) = match machine.open(seq, table) {
            Opening::New(label) => (label, true),
            Opening::Open(label) => (label, false),
            other => {
                self.require(false, || format!("opening {table}: {other:?}"));
                return;
            }
        };
        if let Some(batch) = &mut p.batch {
            batch.rows.entry(label.clone()).or_default().push(row);
        }
        if self.schedule.plain {
            if is_new {
                p.kept.insert(label.clone(), vec![]);
            }
            p.kept.entry(label).or_default().push(row);
            return;
        }
        if is_new {
            self.send(process, label, Op::Begin, vec![], 0);
        }
    }

    /// Sends the rows once every label of a sealed batch is begun.
    fn load_if_begun(&mut self, process: usize) {
        let Some(batch) = &self.processes[process].batch else { return };
        let has_begun = self.schedule.plain || batch.begun.len() >= batch.rows.len();
        if !batch.is_sealing || !has_begun {
            return;
        }
        if batch.rows.is_empty() || self.schedule.plain {
            return self.seal(process);
        }
        for (label, rows) in batch.rows.clone() {
            self.send(process, label, Op::Load, rows, 0);
        }
    }

    fn seal(&mut self, process: usize) {
        let Some(batch) = &self.processes[process].batch else { return };
        let range = |(&number, &(first, next)): (&u32, &(u64, u64))| Taken {
            range: OffsetRange {
                partition: partition(number),
                first: Offset(first),
                next: Offset(next),
            },
            records: next - first,
        };
        let (seq, ends) = (batch.seq, batch.ends.iter().map(range).collect());
        self.processes[process].inbox.push_back(Event::Input(Input::Sealed { seq, ends }));
    }

    fn executor_answered(&mut self, process: usize, label: &Label, op: Op, answer: &Answer) {
        let repeats = self.mutated(Mutation::BeginRepeated);
        if op == Op::Prepare && *answer == Answer::Ok {
            self.processes[process].prepared.insert(label.clone());
        }
        let Some(batch) = &mut self.processes[process].batch else { return };
        if !batch.rows.contains_key(label) {
            return;
        }
        match (op, answer) {
            (Op::Begin, Answer::Lost) if repeats => {
                self.send(process, label.clone(), Op::Begin, vec![], 0);
            }
            (Op::Begin, Answer::Ok) => {
                batch.begun.insert(label.clone());
                self.load_if_begun(process);
            }
            (Op::Load, Answer::Ok) => {
                batch.loaded.insert(label.clone());
                if batch.loaded.len() == batch.rows.len() {
                    self.seal(process);
                }
            }
            (Op::Load, _) => {
                let input = Input::LoadFailed { label: label.clone(), why: "refused".into() };
                self.to(process, 0, Event::Input(input));
            }
            _ => {}
        }
    }
}
