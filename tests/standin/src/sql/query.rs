//! SELECT, SHOW and DESC, as far as a loader and a person checking it need them: one table,
//! conditions joined by AND, aggregates without groups, ORDER BY, LIMIT.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::Value;

use super::catalog;
use super::scan::{Scanner, Token};
use super::{Session, Shape, SqlError, Table, unknown_database, unknown_table, user};
use crate::access::Privilege;
use crate::cluster::{Cluster, State};

type Result<T> = std::result::Result<T, SqlError>;

pub(super) fn execute(
    cluster: &Cluster,
    session: &Session,
    scanner: &mut Scanner,
) -> Result<Table> {
    if scanner.take("SELECT") {
        return Select::parse(scanner)?.run(cluster, session);
    }
    let state = cluster.lock();
    if scanner.take("SHOW") {
        return show(cluster, &state, session, scanner);
    }
    if scanner.take("DESC") || scanner.take("DESCRIBE") {
        scanner.take("TABLE");
        let (db, name) = scanner.table_name(session.db.as_deref())?;
        scanner.end()?;
        let table = readable(&state, session, &db, &name, Privilege::Any)?;
        let names = ["Field", "Type", "Null", "Key", "Default", "Extra"];
        return Ok(listing(&names, catalog::describe(&table.schema)));
    }
    Err(SqlError::unknown("EXPLAIN"))
}

fn listing(names: &[&str], rows: Vec<Vec<Value>>) -> Table {
    let columns = names.iter().map(|n| ((*n).to_owned(), "varchar(30)".to_owned())).collect();
    Table { shape: Shape::Show, columns, rows }
}

fn texts<const N: usize>(row: [&str; N]) -> Vec<Value> {
    row.into_iter().map(Value::from).collect()
}

/// A table the user has the privilege on.
fn readable<'a>(
    state: &'a State,
    session: &Session,
    db: &str,
    name: &str,
    need: Privilege,
) -> Result<&'a crate::table::Table> {
    let database = state.databases.get(db).ok_or_else(|| unknown_database(db))?;
    let table = database.tables.get(name).ok_or_else(|| unknown_table(db, name))?;
    if user(state, session).is_some_and(|u| u.may(need, db, name)) {
        return Ok(table);
    }
    let what = if need == Privilege::Select { "SELECT" } else { "ANY" };
    let text = format!(
        "Access denied; you need (at least one of) the {what} privilege(s) on TABLE {name} for \
         this operation."
    );
    Err(SqlError::new(5203, text))
}

fn show(
    cluster: &Cluster,
    state: &State,
    session: &Session,
    scanner: &mut Scanner,
) -> Result<Table> {
    if scanner.take("DATABASES") || scanner.take("SCHEMAS") {
        let rows = catalog::databases(state, session).iter().map(|d| texts([d.as_str()])).collect();
        return Ok(listing(&["Database"], rows));
    }
    let full = scanner.take("FULL");
    if scanner.take("TABLES") {
        return show_tables(state, session, scanner, full);
    }
    if scanner.take("COLUMNS") || scanner.take("FIELDS") {
        if !scanner.take("FROM") {
            scanner.need("IN")?;
        }
        let (db, name) = scanner.table_name(session.db.as_deref())?;
        let table = readable(state, session, &db, &name, Privilege::Any)?;
        if !full {
            let names = ["Field", "Type", "Null", "Key", "Default", "Extra"];
            return Ok(listing(&names, catalog::describe(&table.schema)));
        }
        let names = [
            "Field",
            "Type",
            "Collation",
            "Null",
            "Key",
            "Default",
            "Extra",
            "Privileges",
            "Comment",
        ];
        return Ok(listing(&names, catalog::full_columns(&table.schema)));
    }
    if scanner.take("CREATE TABLE") {
        let (db, name) = scanner.table_name(session.db.as_deref())?;
        let table = readable(state, session, &db, &name, Privilege::Any)?;
        let row = texts([name.as_str(), &catalog::create_text(&table.schema)]);
        return Ok(listing(&["Table", "Create Table"], vec![row]));
    }
    scanner.take("GLOBAL");
    scanner.take("SESSION");
    if scanner.take("VARIABLES") {
        let like = if scanner.take("LIKE") { Some(scanner.text()?) } else { None };
        let variables = variables(cluster);
        let rows = variables
            .iter()
            .filter(|(name, _)| like.as_deref().is_none_or(|p| is_like(name, p)))
            .map(|(name, value)| texts([name, value.as_str()]))
            .collect();
        return Ok(listing(&["Variable_name", "Value"], rows));
    }
    if scanner.take("WARNINGS") {
        return Ok(listing(&["Level", "Code", "Message"], Vec::new()));
    }
    if scanner.take("BACKENDS") || scanner.take("COMPUTE NODES") || scanner.take("FRONTENDS") {
        return show_nodes(state, session);
    }
    if scanner.take("PROC") {
        let path = scanner.text()?;
        return show_proc(state, session, &path);
    }
    Err(SqlError::unknown("this SHOW"))
}

/// SHOW PROC of the transactions: which databases have some, and those of one, running or finished.
fn show_proc(state: &State, session: &Session, path: &str) -> Result<Table> {
    if !user(state, session).is_some_and(|u| u.operate) {
        let text = "Access denied; you need (at least one of) the OPERATE privilege(s) on SYSTEM \
                    for this operation.";
        return Err(SqlError::new(5203, text));
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["transactions"] => {
            let row = |(name, db): (&String, &crate::cluster::Database)| {
                texts([db.id.to_string().as_str(), name.as_str()])
            };
            Ok(listing(&["DbId", "DbName"], state.databases.iter().map(row).collect()))
        }
        ["transactions", id, which @ ("running" | "finished")] => {
            let id: u64 = id.parse().map_err(|_| SqlError::unknown("this path of SHOW PROC"))?;
            let finished = *which == "finished";
            let of_db = state.txns.all().filter(|t| t.db_id == id && t.is_final() == finished);
            let row = |t: &crate::txn::Txn| {
                let end = t.finished_ms().map(crate::be::timestamp);
                let end = end.map_or(Value::Null, Value::from);
                vec![
                    Value::from(t.id.to_string()),
                    Value::from(t.label.as_str()),
                    Value::from(t.state.name()),
                    end,
                ]
            };
            let names = ["TransactionId", "Label", "TransactionStatus", "FinishTime"];
            Ok(listing(&names, of_db.map(row).collect()))
        }
        _ => Err(SqlError::unknown("this path of SHOW PROC")),
    }
}

fn show_tables(
    state: &State,
    session: &Session,
    scanner: &mut Scanner,
    full: bool,
) -> Result<Table> {
    let db = if scanner.take("FROM") || scanner.take("IN") {
        scanner.name()?
    } else {
        session.db.clone().ok_or_else(|| SqlError::new(1046, "No database selected"))?
    };
    let database = state.databases.get(&db).ok_or_else(|| unknown_database(&db))?;
    let user = user(state, session);
    let header = format!("Tables_in_{db}");
    let rows = database
        .tables
        .keys()
        .filter(|name| user.is_some_and(|u| u.may(Privilege::Any, &db, name)))
        .map(|name| if full { texts([name, "BASE TABLE"]) } else { texts([name.as_str()]) })
        .collect();
    let names: &[&str] = if full { &[&header, "Table_type"] } else { &[&header] };
    Ok(listing(names, rows))
}

/// ADMIN SHOW FRONTEND CONFIG [LIKE '…']: the limits the stand-in has.
pub(super) fn frontend_config(
    cluster: &Cluster,
    session: &Session,
    scanner: &mut Scanner,
) -> Result<Table> {
    let like = if scanner.take("LIKE") { Some(scanner.text()?) } else { None };
    scanner.end()?;
    let state = cluster.lock();
    if !user(&state, session).is_some_and(|u| u.operate) {
        let text = "Access denied; you need (at least one of) the OPERATE privilege(s) on SYSTEM \
                    for this operation.";
        return Err(SqlError::new(5203, text));
    }
    let limits = &state.limits;
    let rows = [
        ("label_keep_max_num", limits.label_keep_max_num as u64),
        ("label_keep_max_second", limits.label_keep_max_second),
        ("label_clean_interval_second", limits.label_clean_interval_second.unwrap_or(14_400)),
        ("max_running_txn_num_per_db", limits.max_running_txn_num_per_db as u64),
        ("stream_load_default_timeout_second", limits.stream_load_default_timeout_second),
        (
            "prepared_transaction_default_timeout_second",
            limits.prepared_transaction_default_timeout_second,
        ),
    ];
    let rows = rows
        .iter()
        .filter(|(name, _)| like.as_deref().is_none_or(|p| is_like(name, p)))
        .map(|(name, value)| texts([name, "[]", &value.to_string(), "int", "true", ""]))
        .collect();
    Ok(listing(&["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"], rows))
}

fn show_nodes(state: &State, session: &Session) -> Result<Table> {
    if !user(state, session).is_some_and(|u| u.operate) {
        let text = "Access denied; you need (at least one of) the OPERATE OR NODE privilege(s) on \
                    SYSTEM for this operation.";
        return Err(SqlError::new(5203, text));
    }
    let row = |(i, b): (usize, &crate::cluster::Backend)| {
        let port = b.addr.port().to_string();
        let alive = if b.alive { "true" } else { "false" };
        texts([(10001 + i).to_string().as_str(), &b.addr.ip().to_string(), &port, alive])
    };
    let rows = state.backends.iter().enumerate().map(row).collect();
    Ok(listing(&["BackendId", "IP", "HttpPort", "Alive"], rows))
}

fn variables(cluster: &Cluster) -> Vec<(&'static str, String)> {
    vec![
        ("version", cluster.version.mysql_text().to_owned()),
        ("version_comment", cluster.version.text().to_owned()),
        ("autocommit", "true".to_owned()),
        ("lower_case_table_names", "0".to_owned()),
        ("max_allowed_packet", "33554432".to_owned()),
        ("character_set_client", "utf8".to_owned()),
        ("time_zone", "UTC".to_owned()),
    ]
}

/// SQL LIKE without regard to case; `\` is not an escape.
fn is_like(text: &str, pattern: &str) -> bool {
    fn go(text: &[char], pattern: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('%', rest)) => (0..=text.len()).any(|i| go(&text[i..], rest)),
            Some(('_', rest)) => !text.is_empty() && go(&text[1..], rest),
            Some((c, rest)) => text.first() == Some(c) && go(&text[1..], rest),
        }
    }
    let chars = |t: &str| t.to_lowercase().chars().collect::<Vec<_>>();
    go(&chars(text), &chars(pattern))
}

/// One item of a select list.
#[derive(Debug, Clone)]
enum Item {
    All,
    Column(String),
    Literal(Value),
    /// A function without rows: `current_version()`, `database()`, `@@name`.
    Constant(String),
    /// Function name, column or `None` for `*`, DISTINCT.
    Aggregate(String, Option<String>, bool),
}

#[derive(Debug, Clone)]
enum Test {
    Compare(String, Value),
    In(Vec<Value>, bool),
    Like(String, bool),
    Null(bool),
}

#[derive(Debug)]
struct Select {
    items: Vec<(Item, String)>,
    from: Option<Vec<String>>,
    conditions: Vec<(String, Test)>,
    order: Vec<(String, bool)>,
    limit: Option<usize>,
    offset: usize,
}

impl Select {
    fn parse(scanner: &mut Scanner) -> Result<Self> {
        let mut select = Self {
            items: Vec::new(),
            from: None,
            conditions: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: 0,
        };
        loop {
            select.items.push(item(scanner)?);
            if !scanner.take_symbol(',') {
                break;
            }
        }
        if scanner.take("FROM") {
            let mut name = vec![scanner.name()?];
            while scanner.take_symbol('.') {
                name.push(scanner.name()?);
            }
            select.from = Some(name);
        }
        if scanner.take("WHERE") {
            loop {
                select.conditions.push(condition(scanner)?);
                if !scanner.take("AND") {
                    break;
                }
            }
        }
        if scanner.take("ORDER BY") {
            loop {
                let name = order_name(scanner)?;
                let down = scanner.take("DESC");
                scanner.take("ASC");
                select.order.push((name, down));
                if !scanner.take_symbol(',') {
                    break;
                }
            }
        }
        if scanner.take("LIMIT") {
            let first = scanner.number()? as usize;
            select.limit = Some(first);
            if scanner.take_symbol(',') {
                select.offset = first;
                select.limit = Some(scanner.number()? as usize);
            } else if scanner.take("OFFSET") {
                select.offset = scanner.number()? as usize;
            }
        }
        if !scanner.is_end() {
            return Err(scanner.unexpected("a clause the stand-in knows"));
        }
        Ok(select)
    }

    fn run(&self, cluster: &Cluster, session: &Session) -> Result<Table> {
        let state = cluster.lock();
        let Some(from) = &self.from else { return self.run_without_table(cluster, session) };
        if let Some(count) = self.plain_count(&state, session, from)? {
            return Ok(count);
        }
        let (names, types, mut rows) = self.source(cluster, &state, session, from)?;
        drop(state);
        let at = |name: &str| {
            names.iter().position(|n| n.eq_ignore_ascii_case(name)).ok_or_else(|| {
                let text = format!(
                    "Getting analyzing error. Detail message: Column '{name}' cannot be resolved."
                );
                SqlError::new(1064, text)
            })
        };
        for (name, test) in &self.conditions {
            let i = at(name)?;
            rows.retain(|row| test.holds(&row[i]));
        }
        if self.items.iter().any(|(item, _)| matches!(item, Item::Aggregate(..))) {
            return self.aggregate(&rows, &at);
        }
        for (name, down) in self.order.iter().rev() {
            let i = at(self.aliased(name))?;
            rows.sort_by(|a, b| {
                let order = order(&a[i], &b[i]);
                if *down { order.reverse() } else { order }
            });
        }
        let rows: Vec<Vec<Value>> =
            rows.into_iter().skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect();
        self.project(cluster, session, &names, &types, rows, &at)
    }

    /// The column behind an alias of the select list.
    fn aliased<'a>(&'a self, name: &'a str) -> &'a str {
        let item = self.items.iter().find(|(_, alias)| alias.eq_ignore_ascii_case(name));
        match item {
            Some((Item::Column(column), _)) => column,
            _ => name,
        }
    }

    fn run_without_table(&self, cluster: &Cluster, session: &Session) -> Result<Table> {
        let mut columns = Vec::new();
        let mut row = Vec::new();
        for (item, alias) in &self.items {
            columns.push((alias.clone(), "varchar".to_owned()));
            row.push(match item {
                Item::Literal(value) => value.clone(),
                Item::Constant(name) => constant(cluster, session, name)?,
                Item::All | Item::Column(_) | Item::Aggregate(..) => {
                    return Err(SqlError::new(1064, "Getting analyzing error. No tables used."));
                }
            });
        }
        Ok(Table { shape: Shape::Select, columns, rows: vec![row] })
    }

    fn source(
        &self,
        cluster: &Cluster,
        state: &State,
        session: &Session,
        from: &[String],
    ) -> Result<Source> {
        let (db, name) = match from {
            [.., db, name] => (db.clone(), name),
            [name] => {
                let db = session.db.clone();
                (db.ok_or_else(|| SqlError::new(1046, "No database selected"))?, name)
            }
            [] => return Err(SqlError::new(1046, "No database selected")),
        };
        if db.eq_ignore_ascii_case("information_schema") {
            let found = catalog::information_schema(state, session, cluster.version, name);
            let (names, rows) = found.ok_or_else(|| unknown_table(&db, name))?;
            let types = vec!["varchar(2048)".to_owned(); names.len()];
            return Ok((names.into_iter().map(str::to_owned).collect(), types, rows));
        }
        let table = readable(state, session, &db, name, Privilege::Select)?;
        let names = table.schema.columns.iter().map(|c| c.name.clone()).collect();
        let types = table.schema.columns.iter().map(|c| c.ty.create()).collect();
        if table.keep != crate::table::Keep::Rows {
            return Err(SqlError::new(1064, "stand-in: this table's rows are only counted"));
        }
        let rows = table.rows().map(|(cells, _)| cells.iter().map(shown).collect()).collect();
        Ok((names, types, rows))
    }

    /// `count(*)` alone: it must not copy ten million rows, nor miss rows that were only counted.
    fn plain_count(
        &self,
        state: &State,
        session: &Session,
        from: &[String],
    ) -> Result<Option<Table>> {
        let (db, name) = match (from, &session.db) {
            ([.., db, name], _) | ([name], Some(db)) => (db, name),
            _ => return Ok(None),
        };
        if !self.only_counts() || db.eq_ignore_ascii_case("information_schema") {
            return Ok(None);
        }
        let count = readable(state, session, db, name, Privilege::Select)?.row_count();
        let columns: Vec<_> =
            self.items.iter().map(|(_, n)| (n.clone(), "bigint(20)".to_owned())).collect();
        let row = vec![Value::from(count); columns.len()];
        Ok(Some(Table { shape: Shape::Select, columns, rows: vec![row] }))
    }

    fn only_counts(&self) -> bool {
        self.conditions.is_empty()
            && self.items.iter().all(
                |(item, _)| matches!(item, Item::Aggregate(name, None, false) if name == "count"),
            )
    }

    fn aggregate(&self, rows: &[Vec<Value>], at: &dyn Fn(&str) -> Result<usize>) -> Result<Table> {
        let mut columns = Vec::new();
        let mut row = Vec::new();
        for (item, alias) in &self.items {
            columns.push((alias.clone(), "bigint(20)".to_owned()));
            row.push(match item {
                Item::Aggregate(name, None, _) if name == "count" => Value::from(rows.len()),
                Item::Aggregate(name, Some(column), distinct) => {
                    let i = at(column)?;
                    let values = rows.iter().map(|r| &r[i]).filter(|v| !v.is_null());
                    fold(name, *distinct, values.collect())?
                }
                Item::Literal(value) => value.clone(),
                _ => return Err(SqlError::unknown("columns beside aggregates")),
            });
        }
        Ok(Table { shape: Shape::Select, columns, rows: vec![row] })
    }

    fn project(
        &self,
        cluster: &Cluster,
        session: &Session,
        names: &[String],
        types: &[String],
        rows: Vec<Vec<Value>>,
        at: &dyn Fn(&str) -> Result<usize>,
    ) -> Result<Table> {
        enum Source {
            At(usize),
            Fixed(Value),
        }
        let mut columns = Vec::new();
        let mut sources = Vec::new();
        for (item, alias) in &self.items {
            match item {
                Item::All => {
                    for (i, name) in names.iter().enumerate() {
                        columns.push((name.clone(), types[i].clone()));
                        sources.push(Source::At(i));
                    }
                }
                Item::Column(name) => {
                    let i = at(name)?;
                    columns.push((alias.clone(), types[i].clone()));
                    sources.push(Source::At(i));
                }
                Item::Literal(value) => {
                    columns.push((alias.clone(), "varchar".to_owned()));
                    sources.push(Source::Fixed(value.clone()));
                }
                Item::Constant(name) => {
                    columns.push((alias.clone(), "varchar".to_owned()));
                    sources.push(Source::Fixed(constant(cluster, session, name)?));
                }
                Item::Aggregate(..) => return Err(SqlError::unknown("columns beside aggregates")),
            }
        }
        let rows = rows
            .into_iter()
            .map(|row| {
                sources
                    .iter()
                    .map(|s| match s {
                        Source::At(i) => row[*i].clone(),
                        Source::Fixed(value) => value.clone(),
                    })
                    .collect()
            })
            .collect();
        Ok(Table { shape: Shape::Select, columns, rows })
    }
}

type Source = (Vec<String>, Vec<String>, Vec<Vec<Value>>);

/// A cell as SELECT shows it: numbers as numbers, decimals and all else as text.
fn shown(cell: &crate::value::Cell) -> Value {
    use crate::value::Cell;
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(b) => Value::from(u8::from(*b)),
        Cell::Int(_) | Cell::Double(_) => cell.to_json(),
        Cell::Number(t) | Cell::Text(t) | Cell::Json(t) => Value::from(t.to_string()),
    }
}

fn item(scanner: &mut Scanner) -> Result<(Item, String)> {
    let (item, name) = match scanner.next() {
        Some(Token::Symbol('*')) => (Item::All, "*".to_owned()),
        Some(Token::Text(text)) => (Item::Literal(Value::from(text.as_str())), format!("'{text}'")),
        Some(Token::Number(text)) => {
            let value = serde_json::from_str(&text).unwrap_or(Value::Null);
            (Item::Literal(value), text)
        }
        Some(Token::Word { text, quoted: false }) if text.starts_with("@@") => {
            let mut name = text;
            while scanner.take_symbol('.') {
                name = format!("@@{}", scanner.name()?);
            }
            (Item::Constant(name.clone()), name)
        }
        Some(Token::Word { text, quoted }) => {
            if !quoted && scanner.take_symbol('(') {
                function(scanner, &text)?
            } else {
                let mut name = text;
                // A table's name before the column says nothing more here.
                while scanner.take_symbol('.') {
                    name = scanner.name()?;
                }
                (Item::Column(name.clone()), name)
            }
        }
        _ => return Err(scanner.unexpected("a select item")),
    };
    if scanner.take("AS") {
        return Ok((item, scanner.name()?));
    }
    Ok((item, name))
}

fn function(scanner: &mut Scanner, name: &str) -> Result<(Item, String)> {
    let lower = name.to_ascii_lowercase();
    if scanner.take_symbol(')') {
        return Ok((Item::Constant(lower), format!("{name}()")));
    }
    if !matches!(lower.as_str(), "count" | "sum" | "min" | "max") {
        return Err(SqlError::unknown(&format!("function {name}")));
    }
    if scanner.take_symbol('*') {
        scanner.need_symbol(')')?;
        return Ok((Item::Aggregate(lower, None, false), format!("{name}(*)")));
    }
    if let Some(Token::Number(_)) = scanner.peek() {
        let number = scanner.number()?;
        scanner.need_symbol(')')?;
        return Ok((Item::Aggregate(lower, None, false), format!("{name}({number})")));
    }
    let distinct = scanner.take("DISTINCT");
    let column = scanner.name()?;
    scanner.need_symbol(')')?;
    let shown =
        if distinct { format!("{name}(DISTINCT {column})") } else { format!("{name}({column})") };
    Ok((Item::Aggregate(lower, Some(column), distinct), shown))
}

fn order_name(scanner: &mut Scanner) -> Result<String> {
    scanner.name()
}

fn literal(scanner: &mut Scanner) -> Result<Value> {
    let minus = scanner.take_symbol('-');
    match scanner.next() {
        Some(Token::Text(text)) => Ok(Value::String(text)),
        Some(Token::Number(text)) => {
            let text = if minus { format!("-{text}") } else { text };
            serde_json::from_str(&text).map_err(|_| scanner.unexpected("number"))
        }
        Some(Token::Word { text, .. }) if text.eq_ignore_ascii_case("true") => Ok(Value::from(1)),
        Some(Token::Word { text, .. }) if text.eq_ignore_ascii_case("false") => Ok(Value::from(0)),
        _ => Err(scanner.unexpected("literal")),
    }
}

fn condition(scanner: &mut Scanner) -> Result<(String, Test)> {
    let mut column = scanner.name()?;
    while scanner.take_symbol('.') {
        column = scanner.name()?;
    }
    if scanner.take("IS NOT NULL") {
        return Ok((column, Test::Null(false)));
    }
    if scanner.take("IS NULL") {
        return Ok((column, Test::Null(true)));
    }
    let not = scanner.take("NOT");
    if scanner.take("LIKE") {
        return Ok((column, Test::Like(scanner.text()?, !not)));
    }
    if scanner.take("IN") {
        scanner.need_symbol('(')?;
        let mut values = vec![literal(scanner)?];
        while scanner.take_symbol(',') {
            values.push(literal(scanner)?);
        }
        scanner.need_symbol(')')?;
        return Ok((column, Test::In(values, !not)));
    }
    let mut op = String::new();
    while let Some(Token::Symbol(c @ ('=' | '<' | '>' | '!'))) = scanner.peek() {
        op.push(*c);
        scanner.next();
    }
    if !matches!(op.as_str(), "=" | "<" | ">" | "<=" | ">=" | "<>" | "!=") {
        return Err(scanner.unexpected("comparison"));
    }
    Ok((column, Test::Compare(op, literal(scanner)?)))
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Null(wanted) => value.is_null() == *wanted,
            _ if value.is_null() => false,
            Self::Compare(op, with) => {
                let order = order(value, with);
                match op.as_str() {
                    "=" => order.is_eq(),
                    "<" => order.is_lt(),
                    ">" => order.is_gt(),
                    "<=" => order.is_le(),
                    ">=" => order.is_ge(),
                    _ => order.is_ne(),
                }
            }
            Self::In(values, wanted) => values.iter().any(|v| order(value, v).is_eq()) == *wanted,
            Self::Like(pattern, wanted) => is_like(&plain(value), pattern) == *wanted,
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Numbers compare as numbers if either side is one, else texts; NULL is smallest.
fn order(a: &Value, b: &Value) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => {}
    }
    if let (Some(x), Some(y)) = (a.as_i64(), b.as_i64()) {
        return x.cmp(&y);
    }
    let number = |v: &Value| plain(v).parse::<f64>().ok();
    if (a.is_number() || b.is_number())
        && let (Some(x), Some(y)) = (number(a), number(b))
    {
        return x.total_cmp(&y);
    }
    plain(a).cmp(&plain(b))
}

fn fold(name: &str, distinct: bool, values: Vec<&Value>) -> Result<Value> {
    let best = |wanted: Ordering| {
        values.iter().copied().reduce(|a, b| if order(b, a) == wanted { b } else { a }).cloned()
    };
    Ok(match name {
        "count" if distinct => {
            Value::from(values.iter().map(|v| plain(v)).collect::<HashSet<_>>().len())
        }
        "count" => Value::from(values.len()),
        "min" => best(Ordering::Less).unwrap_or(Value::Null),
        "max" => best(Ordering::Greater).unwrap_or(Value::Null),
        _ => sum(&values)?,
    })
}

fn sum(values: &[&Value]) -> Result<Value> {
    let whole: Option<i128> = values
        .iter()
        .map(|v| plain(v).parse::<i128>().ok())
        .try_fold(0i128, |s, v| s.checked_add(v?));
    if values.is_empty() {
        return Ok(Value::Null);
    }
    if let Some(sum) = whole {
        return serde_json::from_str(&sum.to_string()).map_err(|_| SqlError::unknown("sum"));
    }
    let numbers: Option<Vec<f64>> = values.iter().map(|v| plain(v).parse().ok()).collect();
    let numbers = numbers.ok_or_else(|| SqlError::unknown("sum of texts"))?;
    Ok(Value::from(numbers.iter().sum::<f64>()))
}

fn constant(cluster: &Cluster, session: &Session, name: &str) -> Result<Value> {
    if let Some(variable) = name.strip_prefix("@@") {
        let found = variables(cluster).into_iter().find(|(n, _)| n.eq_ignore_ascii_case(variable));
        return Ok(found.map_or(Value::Null, |(_, value)| Value::from(value)));
    }
    Ok(match name {
        "current_version" => Value::from(cluster.version.text()),
        "version" => Value::from(cluster.version.mysql_text()),
        "database" | "schema" => session.db.as_deref().map_or(Value::Null, Value::from),
        "user" | "current_user" => Value::from(format!("'{}'@'%'", session.user)),
        "connection_id" => Value::from(1),
        "now" | "current_timestamp" => Value::from(crate::be::timestamp(cluster.clock.now_ms())),
        "unix_timestamp" => Value::from(cluster.clock.now_ms() / 1000),
        other => return Err(SqlError::unknown(&format!("function {other}()"))),
    })
}
