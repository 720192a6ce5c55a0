//! Faults as data: which request is hit, when in its life, and what happens to it instead.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

/// What a request is, for faults to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    StreamLoad,
    Begin,
    Load,
    Prepare,
    Commit,
    Rollback,
    GetLoadState,
    Cancel,
    Schema,
    Sql,
    Health,
    /// Any other path.
    Other,
}

impl FromStr for Op {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "stream_load" => Self::StreamLoad,
            "begin" => Self::Begin,
            "load" => Self::Load,
            "prepare" => Self::Prepare,
            "commit" => Self::Commit,
            "rollback" => Self::Rollback,
            "get_load_state" => Self::GetLoadState,
            "cancel" => Self::Cancel,
            "schema" => Self::Schema,
            "sql" => Self::Sql,
            "health" => Self::Health,
            "other" => Self::Other,
            _ => return Err(format!("unknown op `{text}`")),
        })
    }
}

/// Where a request arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    Fe(usize),
    Be(usize),
}

/// Nodes a fault looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    #[default]
    Any,
    AnyFe,
    AnyBe,
    Fe(usize),
    Be(usize),
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().map_err(|_| format!("unknown node `{text}`"));
        match text {
            "" | "any" => Ok(Self::Any),
            "fe" => Ok(Self::AnyFe),
            "be" => Ok(Self::AnyBe),
            _ if text.starts_with("fe") => Ok(Self::Fe(number(&text[2..])?)),
            _ if text.starts_with("be") => Ok(Self::Be(number(&text[2..])?)),
            _ => Err(format!("unknown node `{text}`")),
        }
    }
}

/// When in a request's life a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Headers read, nothing done.
    #[default]
    Before,
    /// So many body bytes read.
    Body(u64),
    /// All done, reply not sent.
    After,
}

/// What a fault does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Do {
    /// Answers this; with `When::Before` in place of the effect, with `When::After` after it.
    Answer { status: u16, body: String },
    /// Closes the connection without an answer.
    Drop,
    /// Waits in real time, then goes on.
    Delay(Duration),
    /// Waits until released by name, then goes on.
    Hold(String),
    /// Sends only so many bytes of the reply's body, then closes.
    Truncate(usize),
    /// The operation fails with this text, in the form the node words failures; a load or
    /// prepare is rolled back.
    Fail(String),
    /// As `Fail`, but what was to be committed is committed.
    FailAfterCommit(String),
    /// Publishing takes this long: COMMITTED first, VISIBLE later, the answer says so.
    PublishTimeout(Duration),
    /// The frontend prepares, the backend does not learn it and rolls back after this time.
    LosePrepareAnswer(Duration),
    /// A redirect names this authority.
    Location(String),
}

/// A scripted fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub op: Option<Op>,
    pub at: At,
    pub db: Option<String>,
    pub table: Option<String>,
    /// Matches labels that start with this.
    pub label: Option<String>,
    /// The first matching request that is hit, counted from 1.
    pub nth: u32,
    /// How many are hit from there; `None` is all of them.
    pub times: Option<u32>,
    pub when: When,
    pub action: Do,
}

impl Fault {
    /// Hits the first request of `op` anywhere, before its effect.
    pub fn on(op: Op, action: Do) -> Self {
        Self {
            op: Some(op),
            at: At::Any,
            db: None,
            table: None,
            label: None,
            nth: 1,
            times: Some(1),
            when: When::Before,
            action,
        }
    }

    pub fn at(mut self, at: At) -> Self {
        self.at = at;
        self
    }

    pub fn table(mut self, table: &str) -> Self {
        self.table = Some(table.to_owned());
        self
    }

    pub fn label(mut self, prefix: &str) -> Self {
        self.label = Some(prefix.to_owned());
        self
    }

    pub fn nth(mut self, nth: u32) -> Self {
        self.nth = nth;
        self
    }

    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    pub fn always(mut self) -> Self {
        self.times = None;
        self
    }

    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }

    pub fn after(self) -> Self {
        self.when(When::After)
    }

    /// Reads `{"op":"load","at":"be","label":"x","nth":2,"times":1,"when":"after","do":"drop"}`.
    /// `when` is `before`, `after` or a number of body bytes; `times` 0 is for ever. Actions:
    /// `drop`, `delay` (`ms`), `hold` (`name`), `truncate` (`bytes`), `answer` (`status`, `body`),
    /// `fail` and `fail_after_commit` (`text`), `publish_timeout` (`ms`),
    /// `lose_prepare_answer` (`ms`), `location` (`host`).
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let known = [
            "op", "at", "db", "table", "label", "nth", "times", "when", "do", "ms", "name",
            "bytes", "status", "body", "text", "host",
        ];
        let map = value.as_object().ok_or("a fault is a JSON object")?;
        if let Some(key) = map.keys().find(|k| !known.contains(&k.as_str())) {
            return Err(format!("unknown key `{key}`"));
        }
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| map.get(key).and_then(Value::as_u64);
        let count = |key: &str| number(key).and_then(|n| u32::try_from(n).ok());
        let when = match map.get("when") {
            None => When::Before,
            Some(Value::String(s)) if s == "before" => When::Before,
            Some(Value::String(s)) if s == "after" => When::After,
            Some(other) => When::Body(other.as_u64().ok_or("`when`: before, after or bytes")?),
        };
        Ok(Self {
            op: text("op").map(|op| op.parse()).transpose()?,
            at: text("at").unwrap_or_default().parse()?,
            db: text("db"),
            table: text("table"),
            label: text("label"),
            nth: count("nth").unwrap_or(1),
            times: match count("times") {
                Some(0) => None,
                other => Some(other.unwrap_or(1)),
            },
            when,
            action: action_from_json(&text, &number)?,
        })
    }
}

fn action_from_json(
    text: &dyn Fn(&str) -> Option<String>,
    number: &dyn Fn(&str) -> Option<u64>,
) -> Result<Do, String> {
    let need = |key: &str| text(key).ok_or_else(|| format!("`{key}` is missing"));
    let count = |key: &str| number(key).ok_or_else(|| format!("`{key}` is missing"));
    let time = || count("ms").map(Duration::from_millis);
    Ok(match need("do")?.as_str() {
        "drop" => Do::Drop,
        "delay" => Do::Delay(time()?),
        "hold" => Do::Hold(need("name")?),
        "truncate" => Do::Truncate(usize::try_from(count("bytes")?).unwrap_or(usize::MAX)),
        "answer" => Do::Answer {
            status: u16::try_from(count("status")?).map_err(|_| "`status` is an HTTP status")?,
            body: text("body").unwrap_or_default(),
        },
        "fail" => Do::Fail(need("text")?),
        "fail_after_commit" => Do::FailAfterCommit(need("text")?),
        "publish_timeout" => Do::PublishTimeout(time()?),
        "lose_prepare_answer" => Do::LosePrepareAnswer(time()?),
        "location" => Do::Location(need("host")?),
        other => return Err(format!("unknown action `{other}`")),
    })
}

/// A request as faults see it.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) node: Node,
    pub(crate) op: Op,
    pub(crate) db: &'a str,
    pub(crate) table: &'a str,
    pub(crate) label: &'a str,
}

/// What strikes one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hits(pub(crate) Vec<(When, Do)>);

impl Hits {
    /// The text the operation is to fail with.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.0.iter().find_map(|(_, action)| match action {
            Do::Fail(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn failure_after_commit(&self) -> Option<&str> {
        self.0.iter().find_map(|(_, action)| match action {
            Do::FailAfterCommit(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(crate) fn publish_ms(&self) -> Option<u64> {
        self.0.iter().find_map(|(_, action)| match action {
            Do::PublishTimeout(time) => Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            _ => None,
        })
    }

    pub(crate) fn lost_prepare_ms(&self) -> Option<u64> {
        self.0.iter().find_map(|(_, action)| match action {
            Do::LosePrepareAnswer(time) => {
                Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            }
            _ => None,
        })
    }

    pub(crate) fn location(&self) -> Option<&str> {
        self.0.iter().find_map(|(_, action)| match action {
            Do::Location(host) => Some(host.as_str()),
            _ => None,
        })
    }
}

/// The faults set, with how often each has been matched, and who waits in a `Hold`.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    set: Vec<(Fault, u32)>,
    /// Names of holds with a request waiting in them, one entry per request.
    pub(crate) waiting: Vec<String>,
    released: Vec<String>,
    /// The stand-in is stopping: nobody waits any more.
    pub(crate) shut: bool,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        // A new hold of a name closes the gate again.
        if let Do::Hold(name) = &fault.action {
            self.released.retain(|n| n != name);
        }
        self.set.push((fault, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    pub(crate) fn release(&mut self, name: &str) {
        self.released.push(name.to_owned());
    }

    pub(crate) fn is_released(&self, name: &str) -> bool {
        self.released.iter().any(|n| n == name)
    }

    /// Counts the call against every fault; gives those that strike.
    pub(crate) fn strike(&mut self, call: &Call<'_>) -> Hits {
        let mut hits = Hits::default();
        for (fault, seen) in &mut self.set {
            if !matches(fault, call) {
                continue;
            }
            *seen += 1;
            let last = fault.times.map(|t| fault.nth.saturating_add(t));
            if *seen >= fault.nth && last.is_none_or(|last| *seen < last) {
                hits.0.push((fault.when, fault.action.clone()));
            }
        }
        hits
    }
}

fn matches(fault: &Fault, call: &Call<'_>) -> bool {
    let at = match (fault.at, call.node) {
        (At::Any, _) | (At::AnyFe, Node::Fe(_)) | (At::AnyBe, Node::Be(_)) => true,
        (At::Fe(want), Node::Fe(is)) | (At::Be(want), Node::Be(is)) => want == is,
        _ => false,
    };
    at && fault.op.is_none_or(|op| op == call.op)
        && fault.db.as_deref().is_none_or(|db| db == call.db)
        && fault.table.as_deref().is_none_or(|table| table == call.table)
        && fault.label.as_deref().is_none_or(|prefix| call.label.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strikes(fault: Fault, calls: usize) -> Vec<usize> {
        let mut faults = Faults::default();
        faults.add(fault);
        let call = Call { node: Node::Be(0), op: Op::Load, db: "d", table: "t", label: "a1" };
        (1..=calls).filter(|_| !faults.strike(&call).0.is_empty()).collect()
    }

    #[test]
    fn a_fault_hits_the_nth_request_and_as_many_as_asked() {
        assert_eq!(strikes(Fault::on(Op::Load, Do::Drop), 4).len(), 1);
        assert_eq!(strikes(Fault::on(Op::Load, Do::Drop).nth(2).times(2), 5), [2, 3]);
        assert_eq!(strikes(Fault::on(Op::Load, Do::Drop).nth(3).always(), 5), [3, 4, 5]);
        assert_eq!(strikes(Fault::on(Op::Begin, Do::Drop).always(), 3), [0; 0]);
        assert_eq!(strikes(Fault::on(Op::Load, Do::Drop).label("b"), 3), [0; 0]);
        assert_eq!(strikes(Fault::on(Op::Load, Do::Drop).at(At::AnyFe), 3), [0; 0]);
    }

    #[test]
    fn a_fault_is_read_from_json_and_a_misspelt_key_is_refused() {
        let text = r#"{"op":"load","at":"be1","nth":2,"times":0,"when":"after","do":"drop"}"#;
        let fault = Fault::from_json(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(fault, Fault::on(Op::Load, Do::Drop).at(At::Be(1)).nth(2).always().after());
        let text = r#"{"op":"load","n":2,"do":"drop"}"#;
        let error = Fault::from_json(&serde_json::from_str(text).unwrap()).unwrap_err();
        assert_eq!(error, "unknown key `n`");
    }
}
