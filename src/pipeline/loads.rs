//! The threads that talk to StarRocks. Requests of one label run one after the other, in the order
//! they were asked; different labels run side by side. Row bodies and short requests have threads of
//! their own, so that a commit never waits behind a stalled body.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::batch::Part;
use crate::delivery::{Answer, Label, Op, Refusal, TxnState};
use crate::error::{Kind, Problem};
use crate::pipeline::Outbox;
use crate::pipeline::budget::Budget;
use crate::pipeline::directory::Directory;
use crate::pipeline::lane::Plan;
use crate::starrocks::catalog;
use crate::starrocks::client::{Client, Failure, Node, TableName, TxnTimes};
use crate::starrocks::reply::{self, JobState, LabelState, Reason, Reply, Report};

/// Threads for begin, prepare, commit and questions.
const SHORT_THREADS: usize = 3;
/// A transaction that is busy with another request is asked again after this, at first.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// ... and given up after this.
const BUSY_LIMIT: Duration = Duration::from_secs(20);

/// One request, or several that make one step.
#[derive(Debug)]
pub enum Work {
    Begin,
    Part(Part),
    Prepare {
        prepared: Duration,
    },
    Commit,
    RollBack,
    Cancel,
    AskState,
    AskStateEverywhere,
    AskHistory,
    /// Everything in one plain load; answered as the commit it stands for.
    StreamLoad(Part),
}

/// What a request came to, for the reader.
#[derive(Debug)]
pub struct Done {
    pub label: Label,
    pub what: What,
    /// Why, where it did not work; the first one is what a person wants to read.
    pub problem: Option<Problem>,
    /// It is the rows' fault.
    pub rejection: Option<Rejection>,
}

/// StarRocks takes these rows neither now nor later.
#[derive(Debug, Clone)]
pub struct Rejection {
    pub table: TableName,
    pub fault: Fault,
    /// StarRocks' words.
    pub message: String,
    /// How many rows it refuses, where it says so.
    pub rows: Option<u64>,
    /// Its error log, one line a row: `Error: …. Row: …`.
    pub log: Vec<String>,
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Some of its rows.
    Rows,
    /// One of its documents, which spoils it as a whole.
    Document,
    /// It is too large.
    Size,
}

#[derive(Debug)]
pub enum What {
    Answered {
        op: Op,
        answer: Answer,
        report: Option<Report>,
    },
    /// A part is in the BE's hands, or is not.
    Part {
        accepted: bool,
        /// The transaction was over when it came, and StarRocks does not say why.
        aborted: bool,
        rows: u64,
        records: u64,
        raw_bytes: u64,
    },
}

/// What every request of a run shares.
#[derive(Debug)]
pub struct Target {
    pub client: Client,
    pub database: String,
    /// Headers of each table's loads.
    pub directory: Arc<Directory>,
    pub times: TxnTimes,
    pub redact_values: bool,
    pub password_origin: String,
    pub user: String,
    pub budget: Arc<Budget>,
}

/// Queues by label, and the threads that empty them.
pub struct Loads {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    target: Target,
    state: Mutex<State>,
    ready: Condvar,
    outbox: Outbox,
    plan: Arc<Plan>,
}

#[derive(Default)]
struct State {
    queues: HashMap<Label, Queue>,
    /// Labels whose parts are not worth sending any more.
    given_up: HashSet<Label>,
    closing: bool,
    bodies_in_flight: usize,
}

#[derive(Default)]
struct Queue {
    table: Option<TableName>,
    work: VecDeque<Work>,
    busy: bool,
    node: Option<Node>,
}

/// What a thread takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Bodies,
    Short,
}

impl Loads {
    /// Starts the threads. They end with [`Loads::close`].
    pub fn start(target: Target, plan: Arc<Plan>, loads: usize, outbox: &Outbox) -> Self {
        let shared = Arc::new(Shared {
            target,
            state: Mutex::default(),
            ready: Condvar::new(),
            outbox: outbox.clone(),
            plan,
        });
        let spawn = |kinds: Kinds| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.serve(kinds))
        };
        let bodies = (0..loads.max(1)).map(|_| spawn(Kinds::Bodies));
        let short = (0..SHORT_THREADS).map(|_| spawn(Kinds::Short));
        let threads = bodies.chain(short).collect();
        Loads { shared, threads }
    }

    /// Puts a request at the end of its label's queue.
    pub fn push(&self, label: &Label, table: Option<&TableName>, work: Work) {
        let mut state = self.shared.lock();
        let queue = state.queues.entry(label.clone()).or_default();
        if let Some(table) = table {
            queue.table.get_or_insert_with(|| table.clone());
        }
        queue.work.push_back(work);
        drop(state);
        self.shared.ready.notify_all();
    }

    /// Throws waiting parts of a label away and lets none follow.
    pub fn give_up(&self, label: &Label) {
        let mut state = self.shared.lock();
        state.given_up.insert(label.clone());
        if let Some(queue) = state.queues.get_mut(label) {
            for work in std::mem::take(&mut queue.work) {
                match work {
                    Work::Part(part) => self.shared.free(part),
                    other => queue.work.push_back(other),
                }
            }
        }
    }

    /// Forgets a label whose transaction is over.
    pub fn forget(&self, label: &Label) {
        let mut state = self.shared.lock();
        state.given_up.remove(label);
        if state.queues.get(label).is_some_and(|queue| queue.work.is_empty() && !queue.busy) {
            state.queues.remove(label);
        }
    }

    pub fn bodies_in_flight(&self) -> usize {
        self.shared.lock().bodies_in_flight
    }

    /// Bodies waiting or on their way.
    pub fn has_bodies(&self) -> bool {
        let state = self.shared.lock();
        let waiting = |queue: &Queue| queue.work.iter().any(|work| matches!(work, Work::Part(_)));
        state.bodies_in_flight > 0 || state.queues.values().any(waiting)
    }

    /// Ends the threads; waits for those that are idle within `patience`, leaves a thread that hangs
    /// in a request to the end of the process. False if one does.
    pub fn close(self, patience: Duration) -> bool {
        self.shared.lock().closing = true;
        self.shared.ready.notify_all();
        let deadline = Instant::now() + patience;
        let mut all = true;
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < deadline {
                thread::park_timeout(Duration::from_millis(2));
            }
            all &= thread.is_finished();
            if thread.is_finished() {
                // A panic of that thread was reported when it happened.
                let _ = thread.join();
            }
        }
        all
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn free(&self, part: Part) {
        self.target.budget.release(part.body.len() as u64);
        self.plan.spare.give(part.body);
    }

    fn serve(&self, kinds: Kinds) {
        while let Some((label, table, node, work)) = self.next(kinds) {
            let done = self.carry_out(&label, &table, node, work);
            let mut state = self.lock();
            if kinds == Kinds::Bodies {
                state.bodies_in_flight -= 1;
            }
            if let Some(queue) = state.queues.get_mut(&label) {
                queue.busy = false;
            }
            // Before the lock is given back: the answers of one label are heard in the order of its
            // requests, so that a refused begin is not told as a load into nothing.
            self.outbox.load(done);
            drop(state);
            self.ready.notify_all();
        }
    }

    fn next(&self, kinds: Kinds) -> Option<(Label, TableName, Option<Node>, Work)> {
        let mut state = self.lock();
        loop {
            let fits = |work: &Work| {
                let body = matches!(work, Work::Part(_) | Work::StreamLoad(_));
                body == (kinds == Kinds::Bodies)
            };
            let runnable = |queue: &Queue| !queue.busy && queue.work.front().is_some_and(fits);
            let found = state.queues.iter_mut().find(|(_, queue)| runnable(queue));
            if let Some((label, queue)) = found {
                queue.busy = true;
                let work = queue.work.pop_front().expect("a runnable queue has work");
                let unnamed =
                    || TableName { database: self.target.database.clone(), table: "_".into() };
                let table = queue.table.clone().unwrap_or_else(unnamed);
                let taken = (label.clone(), table, queue.node.clone(), work);
                if kinds == Kinds::Bodies {
                    state.bodies_in_flight += 1;
                }
                return Some(taken);
            }
            if state.closing {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn carry_out(&self, label: &Label, table: &TableName, node: Option<Node>, work: Work) -> Done {
        let name = label.to_string();
        let client = &self.target.client;
        let database = &self.target.database;
        let told = Told { target: &self.target, label, table };
        match work {
            Work::Begin => match client.begin(&name, table, self.target.times) {
                Ok((reply, node)) => {
                    if let Some(queue) = self.lock().queues.get_mut(label) {
                        queue.node = Some(node);
                    }
                    told.answered(Op::Begin, Ok(reply))
                }
                Err(failure) => told.answered(Op::Begin, Err(failure)),
            },
            Work::Part(part) => self.send(told, node, part),
            Work::Prepare { prepared } => match node {
                Some(node) => {
                    told.answered(Op::Prepare, client.prepare(&node, database, &name, prepared))
                }
                None => told.done(Op::Prepare, Answer::Lost, None, None),
            },
            Work::Commit => told.committed(client.commit(database, &name)),
            Work::RollBack => told.answered(Op::RollBack, client.roll_back(database, &name)),
            Work::Cancel => told.answered(Op::Cancel, client.cancel(table, &name)),
            Work::AskState => match client.state(database, &name) {
                Ok(state) => told.done(Op::AskState, Answer::State(txn_state(state)), None, None),
                Err(failure) => told.unanswered(Op::AskState, &failure),
            },
            Work::AskStateEverywhere => {
                let answers = client.state_everywhere(database, &name);
                let failed = answers.iter().find_map(|answer| answer.as_ref().err());
                match (furthest(&answers), failed) {
                    (Answer::Lost, Some(failure)) => {
                        told.unanswered(Op::AskStateEverywhere, failure)
                    }
                    (answer, _) => told.done(Op::AskStateEverywhere, answer, None, None),
                }
            }
            Work::AskHistory => {
                let answer = catalog::load_finished(client, database, &name);
                let answer = answer.map_or(Answer::Lost, Answer::Finished);
                told.done(Op::AskHistory, answer, None, None)
            }
            Work::StreamLoad(part) => {
                let headers = self.target.directory.headers(&table.table);
                let sent = client.stream_load(&name, table, &headers, &part.body);
                self.free(part);
                told.answered(Op::Commit, sent)
            }
        }
    }

    /// Sends one part; a transaction still busy with the part before is asked again.
    fn send(&self, told: Told, node: Option<Node>, part: Part) -> Done {
        let (rows, records, raw_bytes) = (part.rows, part.records, part.raw_bytes);
        let what = |accepted, aborted| What::Part { accepted, aborted, rows, records, raw_bytes };
        let given_up = self.lock().given_up.contains(told.label);
        let Some(node) = node.filter(|_| !given_up) else {
            self.free(part);
            let label = told.label.clone();
            return Done { label, what: what(false, false), problem: None, rejection: None };
        };
        let name = told.label.to_string();
        let deadline = Instant::now() + BUSY_LIMIT;
        let mut pause = BUSY_PAUSE;
        let headers = self.target.directory.headers(&told.table.table);
        let reply = loop {
            let sent = self.target.client.load(&node, &name, told.table, &headers, &part.body);
            match sent {
                Ok(Reply::Busy(text))
                    if text.contains("processing") && Instant::now() < deadline =>
                {
                    thread::sleep(pause);
                    pause *= 2;
                }
                other => break told.shown(other),
            }
        };
        self.free(part);
        let accepted = matches!(reply, Ok(Reply::Done(_)));
        let aborted = matches!(reply, Ok(Reply::Aborted(_)));
        let rejection = told.rejection(&reply);
        let problem = (!accepted).then(|| told.problem("load rows", &reply, rejection.as_ref()));
        Done { label: told.label.clone(), what: what(accepted, aborted), problem, rejection }
    }
}

/// One label's request, in words.
#[derive(Clone, Copy)]
struct Told<'a> {
    target: &'a Target,
    label: &'a Label,
    table: &'a TableName,
}

impl Told<'_> {
    fn done(
        self,
        op: Op,
        answer: Answer,
        report: Option<Report>,
        problem: Option<Problem>,
    ) -> Done {
        let what = What::Answered { op, answer, report };
        Done { label: self.label.clone(), what, problem, rejection: None }
    }

    /// Without what a refusal may quote of a row, where that is not to be shown.
    fn shown(self, reply: Result<Reply, Failure>) -> Result<Reply, Failure> {
        match reply {
            Ok(Reply::Refused(refusal)) if self.target.redact_values => {
                Ok(Reply::Refused(refusal.without_values()))
            }
            other => other,
        }
    }

    /// A question for the label's state.
    fn unanswered(self, op: Op, failure: &Failure) -> Done {
        let what = format!("cannot ask for the state of label `{}`", self.label);
        self.done(op, Answer::Lost, None, Some(unreachable_node(&what, failure)))
    }

    fn answered(self, op: Op, reply: Result<Reply, Failure>) -> Done {
        let verb = match op {
            Op::Begin => "begin a transaction",
            Op::Prepare => "prepare a transaction",
            Op::Commit => "commit a transaction",
            Op::RollBack | Op::Cancel => "roll a transaction back",
            Op::Load => "load rows",
            Op::AskState | Op::AskStateEverywhere | Op::AskHistory => "ask for a label's state",
        };
        let reply = self.shown(reply);
        let answer = to_answer(op, &reply);
        let rejection = self.rejection(&reply);
        let problem = match answer {
            Answer::Ok | Answer::State(_) | Answer::Finished(_) => None,
            Answer::Lost | Answer::Refused(_) => {
                Some(self.problem(verb, &reply, rejection.as_ref()))
            }
        };
        let report = match reply {
            Ok(Reply::Done(report) | Reply::Publishing(report)) => Some(report),
            _ => None,
        };
        Done { rejection, ..self.done(op, answer, report, problem) }
    }

    /// A prepared label holds nothing that the words of a refusal could be about: whatever they are,
    /// they count for R3b. Only who asks, and where, is for the operator to mend.
    fn committed(self, reply: Result<Reply, Failure>) -> Done {
        match reply {
            Ok(Reply::Refused(refusal))
                if !matches!(refusal.reason, Reason::Access | Reason::NoInterface) =>
            {
                let problem =
                    Problem::unavailable(format!("StarRocks refuses to commit `{}`", self.label))
                        .cause(refusal.message.clone());
                let answer = Answer::Refused(Refusal::Other(refusal.message));
                self.done(Op::Commit, answer, None, Some(problem))
            }
            reply => self.answered(Op::Commit, reply),
        }
    }

    /// What is wrong with the rows, if that is what the answer says.
    fn rejection(self, reply: &Result<Reply, Failure>) -> Option<Rejection> {
        let Ok(Reply::Refused(refusal)) = reply else { return None };
        let fault = match refusal.reason {
            Reason::Rows => Fault::Rows,
            Reason::Document => Fault::Document,
            Reason::Size => Fault::Size,
            Reason::Access | Reason::Setup | Reason::NoInterface => return None,
        };
        let log = refusal.error_url.iter().flat_map(|url| self.target.client.error_log(url));
        let (table, message) = (self.table.clone(), refusal.message.clone());
        let rows = refusal.rejected_of.map(|(rejected, _)| rejected);
        Some(Rejection { table, fault, message, rows, log: log.collect() })
    }

    /// What a person reads about an answer that is no success.
    fn problem(
        self,
        verb: &str,
        reply: &Result<Reply, Failure>,
        rejection: Option<&Rejection>,
    ) -> Problem {
        let label = format!("label `{}`", self.label);
        let what = format!("cannot {verb} for `{}`", self.table);
        match reply {
            Err(failure) => unreachable_node(&what, failure).at(label),
            Ok(Reply::Refused(refusal)) => match refusal.reason {
                Reason::Rows | Reason::Document | Reason::Size => {
                    self.rejected(refusal, rejection).at(label)
                }
                Reason::Access => Problem::usage(format!(
                    "StarRocks does not let user `{}` load into `{}`",
                    self.target.user, self.table
                ))
                .cause(refusal.message.clone())
                .hint(format!(
                    "the user needs INSERT on the table; the password came from {}",
                    self.target.password_origin
                )),
                Reason::Setup | Reason::NoInterface => Problem::usage(what)
                    .cause(refusal.message.clone())
                    .at(label)
                    .hint("`starsink check` with the same configuration tries every table")
                    .hint("a topic goes to another table with `--map TOPIC:TABLE`"),
            },
            Ok(Reply::LabelTaken(JobState::Running | JobState::Finished | JobState::Unstated)) => {
                Problem::unavailable(what).cause("the label is taken").at(label)
            }
            Ok(
                Reply::NoTransaction(text)
                | Reply::Aborted(text)
                | Reply::Busy(text)
                | Reply::Failed(text)
                | Reply::Ambiguous(text)
                | Reply::NotStarRocks(text),
            ) => Problem::unavailable(what).cause(text.clone()).at(label),
            Ok(Reply::Done(report) | Reply::Publishing(report)) => {
                Problem::unavailable(what).cause(report.message.clone()).at(label)
            }
        }
    }

    fn rejected(self, refusal: &reply::Refusal, rejection: Option<&Rejection>) -> Problem {
        const MOST_LINES: usize = 5;
        let rows = match refusal.rejected_of {
            Some((rejected, total)) => format!("{rejected} of {total} rows"),
            None => "rows".to_owned(),
        };
        let mut problem = Problem::new(
            Kind::BadRecord,
            format!(
                "StarRocks rejected {rows} for `{}`; nothing of this batch was loaded",
                self.table
            ),
        )
        .cause(refusal.message.clone());
        if let Some(url) = &refusal.error_url {
            if !self.target.redact_values {
                let log = rejection.iter().flat_map(|rejection| &rejection.log);
                problem = log.take(MOST_LINES).fold(problem, |problem, line| problem.cause(line));
            }
            problem = problem.at(format!("error log {url}"));
        }
        problem
            .hint("`--on-error dlq --dlq TOPIC|FILE` sets such records aside and loads the others")
            .hint(format!("compare the records with the columns: `DESC {}`", self.table))
    }
}

/// An address that does not answer, told apart by who named it.
pub fn unreachable_node(what: &str, failure: &Failure) -> Problem {
    match &failure.named_by {
        Some(fe) if !failure.sent => Problem::unavailable(format!(
            "FE `{fe}` sent the request on to `{}`, which this host cannot reach",
            failure.address
        ))
        .cause(failure.cause.clone())
        .hint("every BE, and the leader FE, must be reachable on its HTTP port from here"),
        _ => Problem::unavailable(format!("{what}: no answer from `{}`", failure.address))
            .cause(failure.cause.clone()),
    }
}

fn to_answer(op: Op, reply: &Result<Reply, Failure>) -> Answer {
    let reply = match reply {
        Ok(reply) => reply,
        // Nothing was sent: as good as a no, and no state needs to be asked for.
        Err(failure) if !failure.sent && op == Op::Begin => {
            return Answer::Refused(Refusal::Other(failure.cause.clone()));
        }
        Err(_) => return Answer::Lost,
    };
    match reply {
        Reply::Done(_) => Answer::Ok,
        Reply::Publishing(_) => Answer::Ok,
        // A plain load repeated under its label: loaded the first time.
        Reply::LabelTaken(JobState::Finished) if op == Op::Commit => Answer::Ok,
        Reply::LabelTaken(_) => Answer::Refused(Refusal::LabelTaken),
        Reply::NoTransaction(_) => Answer::Refused(Refusal::NotFound),
        Reply::Failed(text) if op == Op::Commit => Answer::Refused(Refusal::Other(text.clone())),
        Reply::Busy(_) | Reply::Failed(_) => Answer::Refused(Refusal::Busy),
        Reply::Aborted(text) => Answer::Refused(Refusal::Other(text.clone())),
        Reply::Refused(refusal) => Answer::Refused(Refusal::Other(refusal.message.clone())),
        Reply::Ambiguous(_) | Reply::NotStarRocks(_) => Answer::Lost,
    }
}

pub(super) fn txn_state(state: LabelState) -> TxnState {
    match state {
        LabelState::Unknown => TxnState::Unknown,
        LabelState::Prepare => TxnState::Prepare,
        LabelState::Prepared => TxnState::Prepared,
        LabelState::Committed => TxnState::Committed,
        LabelState::Visible => TxnState::Visible,
        LabelState::Aborted => TxnState::Aborted,
    }
}

/// UNKNOWN only if every FE said so; otherwise the furthest state any of them named.
fn furthest(answers: &[Result<LabelState, Failure>]) -> Answer {
    let named = answers.iter().flatten().copied().map(txn_state);
    match named.max() {
        Some(TxnState::Unknown) if answers.iter().any(Result::is_err) => Answer::Lost,
        Some(state) => Answer::State(state),
        None => Answer::Lost,
    }
}
