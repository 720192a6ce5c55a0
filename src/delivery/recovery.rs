//! Step 1: what an assignment finds, and rules R1 to R7 by which it is settled and claimed.
//!
//! Offsets are read before states. Until the claim is acknowledged nothing here binds anybody:
//! commits of a complete intent are harmless, and a rollback waits for an acknowledged `v=a`.

use std::collections::{BTreeMap, BTreeSet};

use super::cursor::{Cursor, Intent, Owed, Request};
use super::label::{Label, RunId, Seq, TableHash};
use super::replay::Replay;
use super::running::MOST_TABLES;
use super::set::{Need, Set};
use super::{
    Action, Answer, Context, CursorWrite, Doubt, Failure, Fetched, Input, Millis, Mode, Note, Op,
    Rule, Settings, StartAt, WriteError, WriteOutcome,
};
use crate::record::{Offset, OffsetRange, Partition};

/// Pause before an offset fetch or a question to an FE is repeated.
pub(super) const RETRY_MS: Millis = 1_000;

/// One pass through step 1.
#[derive(Debug, Clone)]
pub(super) struct Recovery {
    pub(super) run: RunId,
    own: BTreeSet<Partition>,
    stage: Stage,
    found: BTreeMap<Partition, Found>,
    sets: Vec<Set>,
    starts: BTreeMap<Partition, StartAt>,
    /// Started again by `--restart` in this pass; remembered by the machine once claimed.
    restarting: BTreeSet<Partition>,
    claim: BTreeMap<Partition, Place>,
}

/// How far a pass is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    FetchAt(Millis),
    Fetching,
    Resolving,
    Refetching,
    RefetchAt(Millis),
    /// `v=a` is being written for this set.
    Aborting(usize),
    AwaitingStarts,
    Claiming,
}

/// A partition's committed offset and the record beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: Offset,
    pub(super) cursor: Option<Cursor>,
}

/// Where a claimed partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Where the next batch begins: the end of the last batch that was intended or finalised.
    pub(super) position: Offset,
    pub(super) owed: Vec<Owed>,
    pub(super) request: Option<Request>,
}

/// What a pass came to.
#[derive(Debug)]
pub(super) enum Progress {
    Going,
    Claimed(Claim),
    /// A pending plain load has to be read and loaded again before anything is claimed.
    Replay(Box<Replay>),
    Rejoin(&'static str),
    Fail(Failure),
}

/// A pass that ended well.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) places: BTreeMap<Partition, Place>,
    pub(super) restarted: BTreeSet<Partition>,
    /// Run ids that this claim has made dead, each with the highest sequence number recorded.
    pub(super) dead_runs: Vec<(RunId, Seq)>,
    /// Records of the request loaded from partitions of others, as far as they are known.
    pub(super) counted_elsewhere: u64,
    /// Intents beside partitions of others.
    pub(super) pending_elsewhere: BTreeSet<(RunId, Seq)>,
}

impl Recovery {
    pub(super) fn new(run: RunId, partitions: Vec<Partition>, now: Millis) -> Recovery {
        Recovery {
            run,
            own: partitions.into_iter().collect(),
            stage: Stage::FetchAt(now),
            found: BTreeMap::new(),
            sets: vec![],
            starts: BTreeMap::new(),
            restarting: BTreeSet::new(),
            claim: BTreeMap::new(),
        }
    }

    /// The run id under which a label that this pass asks about was made.
    pub(super) fn knows(&self, label: &Label) -> bool {
        self.sets.iter().any(|set| set.labels.contains_key(label))
    }

    pub(super) fn handle(&mut self, input: Input, cx: &mut Context<'_>) -> Progress {
        let result = match input {
            Input::Fetched(list) => self.fetched(list, cx),
            Input::Written(outcome) => self.written(outcome, cx),
            Input::Starts(starts) => {
                self.started(starts);
                Ok(Progress::Going)
            }
            Input::Answered { label, op, answer } => {
                self.answered(&label, op, answer, cx);
                Ok(Progress::Going)
            }
            _ => Ok(Progress::Going),
        };
        let result = match result {
            Ok(Progress::Going) => self.drive(cx),
            other => other,
        };
        result.unwrap_or_else(Progress::Fail)
    }

    fn answered(&mut self, label: &Label, op: Op, answer: Answer, cx: &mut Context<'_>) {
        if let Some(set) = self.sets.iter_mut().find(|set| set.labels.contains_key(label)) {
            set.answered(label, op, answer, cx);
        }
    }

    fn fetched(
        &mut self,
        list: Option<Vec<Fetched>>,
        cx: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        let again = match self.stage {
            Stage::Fetching => Stage::FetchAt(cx.now + RETRY_MS),
            Stage::Refetching => Stage::RefetchAt(cx.now + RETRY_MS),
            _ => return Ok(Progress::Going),
        };
        let Some(list) = list else {
            self.stage = again;
            return Ok(Progress::Going);
        };
        let found = read_all(list)?;
        if self.stage == Stage::Fetching {
            self.found = found;
            self.check_requests(cx.settings)?;
            let own = self.found.iter().filter(|(partition, _)| self.own.contains(partition));
            check_database(own, &cx.settings.database)?;
            self.sets = sets(&self.own, &self.found);
            self.say_found(cx);
        } else {
            if self.own.iter().any(|p| found.get(p) != self.found.get(p)) {
                return Ok(Progress::Rejoin(
                    "the cursor of an own partition was changed by another",
                ));
            }
            self.found = found;
            for set in &mut self.sets {
                set.refetched(&self.found, cx);
            }
        }
        self.stage = Stage::Resolving;
        Ok(Progress::Going)
    }

    fn say_found(&self, cx: &mut Context<'_>) {
        for (partition, found) in self.found.iter().filter(|(p, _)| self.own.contains(p)) {
            let intent = found
                .cursor
                .as_ref()
                .filter(|cursor| cursor.intent.is_some())
                .map(|cursor| (cursor.run, cursor.seq));
            let partition = partition.clone();
            cx.say(Note::Found { partition, offset: found.offset, intent });
        }
    }

    /// A cursor of another bounded load must not be carried on as if it were ours.
    fn check_requests(&self, settings: &Settings) -> Result<(), Failure> {
        for (partition, found) in &self.found {
            let Some(cursor) = &found.cursor else { continue };
            let recorded = cursor.request.map(|request| request.hash);
            let is_ours = recorded == settings.request || (recorded.is_none() && settings.restart);
            if self.own.contains(partition) && !is_ours {
                return Err(Failure::OtherRequest { partition: partition.clone(), recorded });
            }
        }
        Ok(())
    }

    fn written(
        &mut self,
        outcome: WriteOutcome,
        cx: &mut Context<'_>,
    ) -> Result<Progress, Failure> {
        match (&self.stage, outcome) {
            (Stage::Aborting(index), WriteOutcome::Ok) => {
                let set = &mut self.sets[*index];
                set.abort_acknowledged();
                for partition in &set.own {
                    if let Some(intent) = self.found.get_mut(partition).and_then(intent_of) {
                        intent.abort_attempted = true;
                    }
                }
                self.stage = Stage::Resolving;
                Ok(Progress::Going)
            }
            (Stage::Claiming, WriteOutcome::Ok) => {
                cx.say(Note::Claimed { run: self.run });
                for set in &self.sets {
                    cx.act(Action::Settled(set.settlement()));
                }
                Ok(Progress::Claimed(Claim {
                    places: std::mem::take(&mut self.claim),
                    restarted: std::mem::take(&mut self.restarting),
                    dead_runs: self.dead_runs(cx),
                    counted_elsewhere: self.counted_elsewhere(cx.settings),
                    pending_elsewhere: self.pending_elsewhere(),
                }))
            }
            (Stage::Claiming, WriteOutcome::Unknown(WriteError::Denied)) => {
                Err(Failure::MayNotCommit)
            }
            (Stage::Claiming, WriteOutcome::Unknown(WriteError::TooLong)) => {
                Err(Failure::MetadataTooLong)
            }
            #[cfg(test)]
            (Stage::Claiming, _) if cx.mutated(super::Mutation::NoRejoinAfterClaim) => {
                self.stage = Stage::FetchAt(cx.now);
                self.sets.clear();
                Ok(Progress::Going)
            }
            // The general rule: before the next offset commit, a new generation.
            (Stage::Aborting(_) | Stage::Claiming, _) => {
                Ok(Progress::Rejoin("the fate of an offset commit is unknown"))
            }
            _ => Ok(Progress::Going),
        }
    }

    /// Runs that owned a partition of ours before; nobody can write under them any more.
    #[cfg_attr(not(test), expect(unused_variables, reason = "only a mutation looks at it"))]
    pub(super) fn dead_runs(&self, cx: &Context<'_>) -> Vec<(RunId, Seq)> {
        let highest = |run: RunId| {
            #[cfg(test)]
            if cx.mutated(super::Mutation::OrphansFromOnePartition) {
                let mut own = self.own.iter().filter_map(|p| self.found.get(p)?.cursor.as_ref());
                return own.find(|cursor| cursor.run == run).map(|cursor| cursor.seq);
            }
            let cursors = self.found.values().filter_map(|found| found.cursor.as_ref());
            cursors.filter(|cursor| cursor.run == run).map(|cursor| cursor.seq).max()
        };
        let own = self.own.iter().filter_map(|partition| self.found.get(partition));
        let runs: BTreeSet<RunId> =
            own.filter_map(|found| found.cursor.as_ref()).map(|cursor| cursor.run).collect();
        let runs = runs.into_iter().filter(|&run| run != self.run);
        runs.filter_map(|run| Some((run, highest(run)?))).collect()
    }

    fn pending_elsewhere(&self) -> BTreeSet<(RunId, Seq)> {
        let others = self.found.iter().filter(|(partition, _)| !self.own.contains(*partition));
        let cursors = others.filter_map(|(_, found)| found.cursor.as_ref());
        let intents = cursors.filter(|cursor| cursor.intent.is_some());
        intents.map(|cursor| (cursor.run, cursor.seq)).collect()
    }

    /// Batches of others that are pending count as loaded: they will be.
    fn counted_elsewhere(&self, settings: &Settings) -> u64 {
        let others = self.found.iter().filter(|(partition, _)| !self.own.contains(*partition));
        let counted = others.filter_map(|(_, found)| {
            let cursor = found.cursor.as_ref()?;
            let request = cursor.request.filter(|r| Some(r.hash) == settings.request)?;
            let pending = cursor.intent.as_ref().and_then(|intent| intent.records);
            Some(request.counted? + pending.unwrap_or(0))
        });
        counted.sum()
    }

    /// An answer for other partitions belongs to an assignment that is over.
    fn started(&mut self, starts: Vec<StartAt>) {
        let starts: BTreeMap<Partition, StartAt> =
            starts.into_iter().map(|start| (start.partition.clone(), start)).collect();
        if self.stage == Stage::AwaitingStarts && self.unplaced().eq(starts.keys()) {
            self.starts = starts;
            self.stage = Stage::Resolving;
        }
    }

    /// Own partitions that need a start from the executor.
    fn unplaced(&self) -> impl Iterator<Item = &Partition> {
        let needs = |p: &&Partition| !self.found.contains_key(*p) || self.restarting.contains(*p);
        self.own.iter().filter(needs)
    }

    /// Goes on as far as possible without an answer.
    fn drive(&mut self, cx: &mut Context<'_>) -> Result<Progress, Failure> {
        match self.stage {
            Stage::FetchAt(at) | Stage::RefetchAt(at) if cx.now < at => {
                cx.wake_at(at);
                return Ok(Progress::Going);
            }
            Stage::FetchAt(_) => {
                cx.say(Note::Fetching);
                cx.act(Action::FetchOffsets);
                self.stage = Stage::Fetching;
                return Ok(Progress::Going);
            }
            Stage::RefetchAt(_) => {
                cx.act(Action::FetchOffsets);
                self.stage = Stage::Refetching;
                return Ok(Progress::Going);
            }
            Stage::Resolving => {}
            _ => return Ok(Progress::Going),
        }
        let mut needs_refetch = false;
        let mut replay = None;
        for index in 0..self.sets.len() {
            match self.sets[index].drive(cx)? {
                Need::Nothing => {}
                Need::Refetch => needs_refetch = true,
                Need::Replay => replay = Some(index),
                Need::Abort => {
                    cx.act(Action::WriteOffsets(self.abort_writes(index)));
                    self.stage = Stage::Aborting(index);
                    return Ok(Progress::Going);
                }
            }
        }
        if let Some(index) = replay {
            return Ok(Progress::Replay(Box::new(self.sets[index].replay(cx))));
        }
        if needs_refetch {
            cx.act(Action::FetchOffsets);
            self.stage = Stage::Refetching;
            return Ok(Progress::Going);
        }
        if self.sets.iter().all(Set::is_settled) {
            return self.claim(cx);
        }
        Ok(Progress::Going)
    }

    /// The own intents of a set, rewritten with `v=a`.
    fn abort_writes(&self, index: usize) -> Vec<CursorWrite> {
        let write = |partition: &Partition| {
            let found = &self.found[partition];
            let mut cursor =
                found.cursor.clone().expect("a set is made of partitions with intents");
            let intent = cursor.intent.as_mut().expect("a set is made of partitions with intents");
            intent.abort_attempted = true;
            CursorWrite {
                partition: partition.clone(),
                offset: found.offset,
                metadata: cursor.write(),
            }
        };
        self.sets[index].own.iter().map(write).collect()
    }

    /// Everything is settled: ask for missing starts, then write the claim.
    fn claim(&mut self, cx: &mut Context<'_>) -> Result<Progress, Failure> {
        if self.starts.is_empty() {
            if cx.settings.restart {
                let fresh = self.own.iter().filter(|p| !cx.restarted.contains(*p));
                self.restarting = fresh.cloned().collect();
            }
            let missing: Vec<Partition> = self.unplaced().cloned().collect();
            if !missing.is_empty() {
                cx.act(Action::ResolveStarts(missing));
                self.stage = Stage::AwaitingStarts;
                return Ok(Progress::Going);
            }
        }
        let mut places = BTreeMap::new();
        for partition in &self.own {
            places.insert(partition.clone(), self.place(partition, cx)?);
        }
        let foreign = |p: &&Partition| {
            let is_bare = self.found.get(*p).is_some_and(|found| found.cursor.is_none());
            is_bare && !self.restarting.contains(*p)
        };
        let partitions = self.own.iter().filter(foreign).count();
        if partitions > 0 {
            cx.say(Note::TakenOver { partitions });
        }
        let writes = claim_writes(self.run, &places, cx.settings)?;
        self.claim = places;
        cx.say(Note::Claiming { run: self.run, partitions: writes.len() });
        self.stage = Stage::Claiming;
        if writes.is_empty() {
            return self.written(WriteOutcome::Ok, cx);
        }
        cx.act(Action::WriteOffsets(writes));
        Ok(Progress::Going)
    }

    /// Where one own partition goes on.
    fn place(&self, partition: &Partition, cx: &mut Context<'_>) -> Result<Place, Failure> {
        if let Some(start) = self.starts.get(partition) {
            let request = request(start.until, cx.settings);
            return Ok(Place { position: start.offset, owed: vec![], request });
        }
        let found = &self.found[partition];
        let Some(cursor) = &found.cursor else {
            let request = request(None, cx.settings);
            return Ok(Place { position: found.offset, owed: vec![], request });
        };
        let mut request = cursor.request;
        let (position, mut owed) = match self.sets.iter().find(|set| set.own.contains(partition)) {
            None => (found.offset, cursor.owed.clone()),
            Some(set) => settled(set, found, cursor, cx),
        };
        owed.retain(|owed| owed.until > position);
        if !owed.is_empty() && cursor.fingerprint != cx.settings.fingerprint {
            return Err(in_doubt(partition, found, cursor, Doubt::MappingChanged));
        }
        if let (Some(request), Some(intent)) = (&mut request, &cursor.intent)
            && position == intent.end
        {
            request.count(intent.records.unwrap_or(0));
        }
        let place = Place { position, owed, request };
        let limit = cx.settings.metadata_limit_bytes;
        if !place.owed.is_empty()
            && place.cursor(self.run, Seq(0), cx.settings).write().len() > limit
        {
            return Err(in_doubt(partition, found, cursor, Doubt::OwedListTooLong));
        }
        Ok(place)
    }
}

impl Place {
    /// The record of this partition without an intent.
    pub(super) fn cursor(&self, run: RunId, seq: Seq, settings: &Settings) -> Cursor {
        Cursor {
            run,
            seq,
            intent: None,
            owed: self.owed.clone(),
            fingerprint: settings.fingerprint,
            request: self.request,
        }
    }

    /// Moves on, leaving what was owed below behind.
    pub(super) fn advance(&mut self, to: Offset, records: u64) {
        self.position = to;
        if let Some(request) = &mut self.request {
            request.count(records);
        }
        self.owed.retain(|owed| owed.until > to);
    }
}

/// What a partition that begins records of the request.
fn request(until: Option<Offset>, settings: &Settings) -> Option<Request> {
    let counted = settings.counts_records.then_some(0);
    settings.request.map(|hash| Request { hash, until, counted })
}

/// Rules R2, R4 and R5 for one partition of a settled set.
fn settled(set: &Set, found: &Found, cursor: &Cursor, cx: &mut Context<'_>) -> (Offset, Vec<Owed>) {
    let intent = cursor.intent.as_ref().expect("a set is made of partitions with intents");
    let committed = set.committed_tables();
    let (rule, result) = if committed.len() == intent.tables.len() {
        (Rule::R2, (intent.end, cursor.owed.clone()))
    } else if committed.is_empty() {
        (Rule::R4, (found.offset, cursor.owed.clone()))
    } else {
        let owed = owed_after(found.offset, intent, &cursor.owed, &committed);
        #[cfg(test)]
        let owed = if cx.mutated(super::Mutation::OneOwedRange) {
            owed.last()
                .map(|last| Owed { until: last.until, tables: owed[0].tables.clone() })
                .into_iter()
                .collect()
        } else {
            owed
        };
        (Rule::R5, (found.offset, owed))
    };
    cx.say(Note::Rule { run: set.run, seq: set.seq, rule });
    result
}

/// Rule R5: what is owed once some tables of an intent are committed and the others aborted.
fn owed_after(
    from: Offset,
    intent: &Intent,
    old: &[Owed],
    committed: &BTreeSet<TableHash>,
) -> Vec<Owed> {
    let without = |tables: &[TableHash]| -> Vec<TableHash> {
        tables.iter().copied().filter(|table| !committed.contains(table)).collect()
    };
    let mut list: Vec<Owed> = vec![];
    let mut at = from;
    for range in old.iter().filter(|range| range.until > from) {
        if at < intent.end {
            let until = range.until.min(intent.end);
            list.push(Owed { until, tables: without(&range.tables) });
            at = until;
        }
        if range.until > intent.end {
            list.push(range.clone());
            at = range.until;
        }
    }
    if at < intent.end {
        list.push(Owed { until: intent.end, tables: without(&intent.tables) });
    }
    merge_equal(list)
}

/// Joins neighbours that owe the same tables.
fn merge_equal(list: Vec<Owed>) -> Vec<Owed> {
    let mut merged: Vec<Owed> = vec![];
    for range in list {
        match merged.last_mut() {
            Some(last) if last.tables == range.tables => last.until = range.until,
            _ => merged.push(range),
        }
    }
    merged
}

fn claim_writes(
    run: RunId,
    places: &BTreeMap<Partition, Place>,
    settings: &Settings,
) -> Result<Vec<CursorWrite>, Failure> {
    let write = |(partition, place): (&Partition, &Place)| CursorWrite {
        partition: partition.clone(),
        offset: place.position,
        metadata: place.cursor(run, Seq(0), settings).write(),
    };
    let mut writes: Vec<CursorWrite> = places.iter().map(write).collect();
    // One of them is made as long as an intent may become, so that brokers which would refuse that do so
    // now, before anything is loaded.
    if settings.mode == Mode::ExactlyOnce && !settings.settle_only {
        let length = |place: &Place| {
            let tables = settings.tables.len().clamp(1, MOST_TABLES);
            let (database, prefix) = (&settings.database, &settings.prefix);
            let cursor = place.cursor(run, Seq(0), settings);
            cursor.longest_intent(tables, database, prefix, settings.is_plain)
        };
        let longest = places.values().map(length).enumerate().max_by_key(|(_, length)| *length);
        if let Some((index, length)) = longest
            && let Some(place) = places.values().nth(index)
        {
            let length = length.min(settings.metadata_limit_bytes);
            writes[index].metadata = place.cursor(run, Seq(0), settings).write_padded(length);
        }
    }
    if writes.iter().any(|write| write.metadata.len() > settings.metadata_limit_bytes) {
        return Err(Failure::MetadataTooLong);
    }
    Ok(writes)
}

/// Labels belong to a database: asked for in another one they are unknown, which would be taken for
/// forgotten.
pub(super) fn check_database<'f>(
    mut found: impl Iterator<Item = (&'f Partition, &'f Found)>,
    database: &str,
) -> Result<(), Failure> {
    let elsewhere = found.find_map(|(partition, found)| {
        let intent = found.cursor.as_ref()?.intent.as_ref()?;
        (intent.database != database).then(|| (partition.clone(), intent.database.clone()))
    });
    match elsewhere {
        Some((partition, database)) => Err(Failure::OtherDatabase { partition, database }),
        None => Ok(()),
    }
}

fn in_doubt(partition: &Partition, found: &Found, cursor: &Cursor, why: Doubt) -> Failure {
    let next = cursor.intent.as_ref().map_or(found.offset, |intent| intent.end);
    let range = OffsetRange { partition: partition.clone(), first: found.offset, next };
    Failure::InDoubt { labels: cursor.labels(), partitions: vec![range], why }
}

fn intent_of(found: &mut Found) -> Option<&mut Intent> {
    found.cursor.as_mut()?.intent.as_mut()
}

/// Reads every record fetched; one that is not ours stops the run.
pub(super) fn read_all(list: Vec<Fetched>) -> Result<BTreeMap<Partition, Found>, Failure> {
    let mut found = BTreeMap::new();
    for Fetched { partition, committed } in list {
        let Some((offset, metadata)) = committed else { continue };
        match Cursor::parse(&metadata) {
            Ok(cursor) => found.insert(partition, Found { offset, cursor }),
            Err(why) => return Err(Failure::ForeignMetadata { partition, metadata, why }),
        };
    }
    Ok(found)
}

/// The intents that touch an own partition, one set per `(r, n)`.
pub(super) fn sets(own: &BTreeSet<Partition>, found: &BTreeMap<Partition, Found>) -> Vec<Set> {
    let mut sets: Vec<Set> = vec![];
    for partition in own {
        let Some(found_here) = found.get(partition) else { continue };
        let Some(cursor) = found_here.cursor.as_ref().filter(|c| c.intent.is_some()) else {
            continue;
        };
        match sets.iter_mut().find(|set| (set.run, set.seq) == (cursor.run, cursor.seq)) {
            Some(set) => set.own.push(partition.clone()),
            None => sets.push(Set::new(partition.clone(), cursor, found)),
        }
    }
    sets
}
