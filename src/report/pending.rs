//! What `check --only delivery` prints. Pure: strings out.

use crate::config::job::Reset;
use crate::delivery::{NextStart, Pending};
use crate::pipeline::look::{Finding, Findings};
use crate::report::units::grouped;

/// How many batches are pending.
pub fn sum(findings: &Findings) -> String {
    match findings.partitions.iter().filter(|finding| is_pending(finding)).count() {
        0 => "nothing pending".to_string(),
        1 => "a batch is pending on 1 partition".to_string(),
        count => format!("batches are pending on {count} partitions"),
    }
}

/// A paragraph per partition, line by line.
pub fn lines(findings: &Findings) -> Vec<String> {
    let mut lines = vec![];
    for finding in &findings.partitions {
        match &finding.pending {
            Some(pending) => lines.extend(known(pending, finding.lag.unwrap_or_default())),
            None => lines.push(format!(
                "{}: no offset; the next start {}",
                finding.partition,
                match findings.reset {
                    Reset::Beginning => "begins with the first record",
                    Reset::End => "begins at the end",
                    Reset::Refuse => "needs `-o`",
                }
            )),
        }
    }
    lines
}

/// Whether a batch waits to be settled there.
pub fn is_pending(finding: &Finding) -> bool {
    finding.pending.as_ref().is_some_and(|pending| pending.intent.is_some())
}

fn known(pending: &Pending, lag: u64) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: committed {}, lag {}",
        pending.partition,
        pending.committed,
        grouped(lag)
    )];
    if let Some((range, labels)) = &pending.intent {
        lines.push(format!("  pending: {range}"));
        lines.extend(labels.iter().map(|(label, state)| format!("  label `{label}` is {state}")));
    }
    if let Some(until) = pending.owed_until {
        lines.push(format!("  up to {until}, rows are owed to some tables only"));
    }
    lines.push(match pending.next {
        NextStart::GoOnAt(offset) => format!("  next start: goes on at {offset}"),
        NextStart::Apply(rule, offset) => format!("  next start: {rule}; then goes on at {offset}"),
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Rule;
    use crate::record::{Offset, OffsetRange, Partition};

    fn finding(intent: bool) -> Finding {
        let partition = Partition::new("orders", 0);
        let range = OffsetRange { partition: partition.clone(), first: Offset(5), next: Offset(9) };
        let next = match intent {
            true => NextStart::Apply(Rule::R2, Offset(9)),
            false => NextStart::GoOnAt(Offset(5)),
        };
        let pending = Pending {
            partition: partition.clone(),
            committed: Offset(5),
            intent: intent.then(|| (range, vec![])),
            owed_until: None,
            next,
        };
        Finding { partition, lag: Some(1_234), pending: Some(pending) }
    }

    #[track_caller]
    fn check(findings: Vec<Finding>, expected: &str) {
        let group = "g".to_string();
        let findings = Findings { group, partitions: findings, reset: Reset::Beginning };
        assert_eq!(format!("{}\n{}", sum(&findings), lines(&findings).join("\n")), expected);
    }

    #[test]
    fn each_partition_says_where_it_stands_and_what_comes_next() {
        check(
            vec![finding(false)],
            "nothing pending\n\
             orders[0]: committed 5, lag 1 234\n  next start: goes on at 5",
        );
        check(
            vec![finding(true)],
            "a batch is pending on 1 partition\n\
             orders[0]: committed 5, lag 1 234\n  pending: orders[0]@5..9\n  \
             next start: R2: all committed, going on behind it; then goes on at 9",
        );
        let partition = Partition::new("orders", 1);
        check(
            vec![Finding { partition, lag: None, pending: None }],
            "nothing pending\n\
             orders[1]: no offset; the next start begins with the first record",
        );
    }
}
