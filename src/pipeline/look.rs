//! A look at what a name has pending, without joining its group: offsets, ends, label states.

use std::collections::BTreeMap;

use crate::config::job::{Job, Reset};
use crate::delivery::{Description, Fetched, Pending};
use crate::error::Problem;
use crate::kafka::consumer::Consumer;
use crate::pipeline::loads::{txn_state, unreachable_node};
use crate::pipeline::run::{machine_failed, now_ms, wanted};
use crate::record::Partition;
use crate::starrocks::client::Client;

/// What stands beside the cursors of a group.
#[derive(Debug)]
pub struct Findings {
    pub group: String,
    /// In order of partitions.
    pub partitions: Vec<Finding>,
    /// Where a partition begins that has no cursor.
    pub reset: Reset,
}

/// One partition of the job.
#[derive(Debug)]
pub struct Finding {
    pub partition: Partition,
    /// Offsets between the cursor and the end; `None` without a cursor.
    pub lag: Option<u64>,
    /// `None`: the group has no offset for it.
    pub pending: Option<Pending>,
}

/// Reads every cursor of the job's group and the states of the labels they name.
pub fn look(job: &Job, consumer: &Consumer, topics: &[(String, u32)]) -> Result<Findings, Problem> {
    let partitions = wanted(job, topics);
    let fetched = consumer
        .committed(&partitions)?
        .into_iter()
        .map(|committed| Fetched { partition: committed.partition, committed: committed.offset });
    let group = job.source.group.clone();
    let description =
        Description::new(fetched.collect()).map_err(|failure| machine_failed(&group, &failure))?;
    description
        .check_database(&job.target.database)
        .map_err(|failure| machine_failed(&group, &failure))?;
    let client = Client::new(&job.target);
    let mut states = BTreeMap::new();
    for label in description.labels() {
        let state = client.state(&job.target.database, &label.to_string());
        let state = state.map_err(|failure| {
            unreachable_node(&format!("cannot ask for the state of label `{label}`"), &failure)
        })?;
        states.insert(label, txn_state(state));
    }
    let pending = description.pending(now_ms(), &states).into_iter();
    let mut pending: BTreeMap<Partition, Pending> =
        pending.map(|entry| (entry.partition.clone(), entry)).collect();
    let mut findings = vec![];
    for partition in partitions {
        let pending = pending.remove(&partition);
        let lag = match &pending {
            Some(entry) => {
                let (_, end) = consumer.watermarks(&partition)?;
                Some(end.0.saturating_sub(entry.committed.0))
            }
            None => None,
        };
        findings.push(Finding { partition, lag, pending });
    }
    Ok(Findings { group, partitions: findings, reset: job.source.reset })
}
