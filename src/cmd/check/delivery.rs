//! What an earlier run left pending and what the next start would do. Reads offsets and label states;
//! joins no group, changes nothing.

use crate::cmd::check::kafka::Found;
use crate::cmd::check::side::Lines;
use crate::config::job::Job;
use crate::delivery::{NextStart, Rule};
use crate::kafka::probe::timed;
use crate::pipeline::look::{self, Finding, Findings};
use crate::report::pending;
use crate::verdict::{Area, Line};

/// One line for the group; each partition below it. True where a batch is pending.
pub(super) fn check(job: &Job, kafka: &Found, lines: &Lines<bool>) -> bool {
    let (found, took) = timed(|| look::look(job, &kafka.consumer, &kafka.topics));
    let subject = format!("group {}", job.source.group);
    let (line, is_pending) = match found {
        Ok(findings) => {
            (pending_line(subject, &findings), findings.partitions.iter().any(pending::is_pending))
        }
        Err(problem) => (Line::problem(Area::Delivery, subject, &problem), false),
    };
    lines.tell(line.took(took));
    is_pending
}

fn pending_line(subject: String, findings: &Findings) -> Line {
    let sum = pending::sum(findings);
    let line = if findings.partitions.iter().any(is_forgotten) {
        Line::warn(Area::Delivery, subject, format!("{sum}, and StarRocks has forgotten its labels"))
            .hint("the next start looks for proof; `--on-unknown committed` or `reload` decides where there is none")
    } else {
        Line::ok(Area::Delivery, subject, sum)
    };
    line.details(pending::lines(findings))
}

/// A batch whose labels nobody remembers: its fate can only be inferred.
fn is_forgotten(finding: &Finding) -> bool {
    let next = finding.pending.as_ref().map(|pending| pending.next);
    matches!(next, Some(NextStart::Apply(Rule::R6 | Rule::R6Settled, _)))
}
