//! Statements that change: databases, tables, users, grants.

use super::scan::{Scanner, Token};
use super::{Outcome, Session, SqlError, unknown_database, unknown_table};
use crate::access::{Grant, User};
use crate::cluster::{Cluster, Database, State};
use crate::table::{Column, Default, Keys, Schema, Table};
use crate::value::Type;

type Done = Result<(), SqlError>;

/// Executes one statement; `CREATE`, `DROP` and their like come next in `scanner`.
pub(super) fn execute(
    cluster: &Cluster,
    session: &Session,
    scanner: &mut Scanner,
) -> Result<Outcome, SqlError> {
    let now_ms = cluster.clock.now_ms();
    let mut state = cluster.lock();
    check_admin(&state, session)?;
    let db = session.db.as_deref();
    if scanner.take("CREATE DATABASE") {
        create_database(&mut state, scanner)?;
    } else if scanner.take("CREATE USER") {
        create_user(&mut state, scanner)?;
    } else if scanner.take("CREATE TABLE") {
        create_table(&mut state, db, scanner)?;
    } else if scanner.take("DROP DATABASE") {
        drop_database(&mut state, scanner)?;
    } else if scanner.take("RECOVER DATABASE") {
        recover_database(&mut state, scanner)?;
    } else if scanner.take("DROP TABLE") {
        drop_table(&mut state, db, scanner)?;
    } else if scanner.take("TRUNCATE TABLE") {
        let (db, table) = scanner.table_name(db)?;
        let found = state.table_mut(&db, &table);
        found.ok_or_else(|| unknown_table(&db, &table))?.clear();
    } else if scanner.take("ALTER TABLE") {
        alter_table(&mut state, db, scanner)?;
    } else if scanner.take("GRANT") {
        grant(&mut state, db, scanner)?;
    } else if scanner.take("ADMIN SET FRONTEND CONFIG") {
        set_config(&mut state, scanner)?;
    } else {
        return Err(SqlError::unknown("this statement"));
    }
    scanner.end()?;
    state.catch_up(now_ms);
    Ok(Outcome::Done)
}

fn check_admin(state: &State, session: &Session) -> Done {
    if state.users.0.get(&session.user).is_some_and(|u| u.admin) {
        return Ok(());
    }
    let text = "Access denied; you need (at least one of) the privilege(s) for this operation.";
    Err(SqlError::new(5203, text))
}

fn create_database(state: &mut State, scanner: &mut Scanner) -> Done {
    let lenient = scanner.take("IF NOT EXISTS");
    let name = scanner.name()?;
    if state.databases.contains_key(&name) {
        let text = format!("Can't create database '{name}'; database exists");
        return if lenient { Ok(()) } else { Err(SqlError::new(1007, text)) };
    }
    let id = state.new_id();
    state.databases.insert(name, Database { id, ..Database::default() });
    Ok(())
}

fn drop_database(state: &mut State, scanner: &mut Scanner) -> Done {
    let lenient = scanner.take("IF EXISTS");
    let name = scanner.name()?;
    scanner.take("FORCE");
    match state.databases.remove(&name) {
        Some(database) => {
            state.dropped_databases.insert(name, database);
            Ok(())
        }
        None if lenient => Ok(()),
        None => Err(unknown_database(&name)),
    }
}

fn recover_database(state: &mut State, scanner: &mut Scanner) -> Done {
    let name = scanner.name()?;
    match state.dropped_databases.remove(&name) {
        Some(database) => {
            state.databases.insert(name, database);
            Ok(())
        }
        None => Err(unknown_database(&name)),
    }
}

fn drop_table(state: &mut State, db: Option<&str>, scanner: &mut Scanner) -> Done {
    let lenient = scanner.take("IF EXISTS");
    let (db, name) = scanner.table_name(db)?;
    scanner.take("FORCE");
    let database = state.databases.get_mut(&db).ok_or_else(|| unknown_database(&db))?;
    match database.tables.remove(&name) {
        Some(table) => {
            database.dropped.push(table);
            Ok(())
        }
        None if lenient => Ok(()),
        None => Err(unknown_table(&db, &name)),
    }
}

fn alter_table(state: &mut State, db: Option<&str>, scanner: &mut Scanner) -> Done {
    let (db, name) = scanner.table_name(db)?;
    scanner.need("ADD COLUMN")?;
    let mut added = Vec::new();
    if scanner.take_symbol('(') {
        loop {
            added.push(column(scanner)?);
            if !scanner.take_symbol(',') {
                break;
            }
        }
        scanner.need_symbol(')')?;
    } else {
        added.push(column(scanner)?);
    }
    let table = state.table_mut(&db, &name).ok_or_else(|| unknown_table(&db, &name))?;
    for column in added {
        if table.schema.position(&column.name).is_some() {
            return Err(SqlError::new(1060, format!("Duplicate column name '{}'", column.name)));
        }
        table.add_column(column);
    }
    Ok(())
}

/// `"key" = "value"` in parentheses.
fn properties(scanner: &mut Scanner) -> Result<Vec<(String, String)>, SqlError> {
    let mut pairs = Vec::new();
    scanner.need_symbol('(')?;
    while !scanner.take_symbol(')') {
        let key = scanner.text()?;
        scanner.need_symbol('=')?;
        pairs.push((key, scanner.text()?));
        scanner.take_symbol(',');
    }
    Ok(pairs)
}

fn set_config(state: &mut State, scanner: &mut Scanner) -> Done {
    for (key, value) in properties(scanner)? {
        let bad = || SqlError::new(1064, format!("stand-in: config {key}={value}"));
        let number: u64 = value.parse().map_err(|_| bad())?;
        let size = usize::try_from(number).unwrap_or(usize::MAX);
        let limits = &mut state.limits;
        match key.as_str() {
            "label_keep_max_num" => limits.label_keep_max_num = size,
            "label_keep_max_second" => limits.label_keep_max_second = number,
            "max_running_txn_num_per_db" => limits.max_running_txn_num_per_db = size,
            // Backend settings in real life; there is one place to set them here.
            "streaming_load_max_mb" => limits.streaming_load_max_bytes = number << 20,
            "streaming_load_max_batch_size_mb" => limits.json_max_bytes = number << 20,
            "stream_load_default_timeout_second" => {
                limits.stream_load_default_timeout_second = number;
            }
            "prepared_transaction_default_timeout_second" => {
                limits.prepared_transaction_default_timeout_second = number;
            }
            _ => return Err(bad()),
        }
    }
    Ok(())
}

fn create_table(state: &mut State, db: Option<&str>, scanner: &mut Scanner) -> Done {
    let lenient = scanner.take("IF NOT EXISTS");
    let (db, name) = scanner.table_name(db)?;
    if !state.databases.contains_key(&db) {
        return Err(unknown_database(&db));
    }
    let table_id = state.new_id();
    let mut schema = Schema {
        table_id,
        name: name.clone(),
        keys: Keys::Duplicate,
        columns: Vec::new(),
        distributed_by: Vec::new(),
        buckets: 1,
        comment: String::new(),
        properties: Vec::new(),
    };
    columns(scanner, &mut schema)?;
    clauses(scanner, &mut schema)?;
    let keep = state.keep.clone();
    let tables = state.databases.get_mut(&db).map(|d| &mut d.tables);
    let tables = tables.ok_or_else(|| unknown_database(&db))?;
    if tables.contains_key(&name) {
        let text = format!("Table '{name}' already exists");
        return if lenient { Ok(()) } else { Err(SqlError::new(1050, text)) };
    }
    tables.insert(name, Table::new(schema, keep));
    Ok(())
}

fn columns(scanner: &mut Scanner, schema: &mut Schema) -> Done {
    scanner.need_symbol('(')?;
    loop {
        if scanner.take("INDEX") {
            while !matches!(scanner.peek(), Some(Token::Symbol(',' | ')')) | None) {
                if scanner.take_symbol('(') {
                    scanner.skip_to_close()?;
                } else {
                    scanner.next();
                }
            }
        } else {
            let column = column(scanner)?;
            if schema.position(&column.name).is_some() {
                return Err(SqlError::new(
                    1060,
                    format!("Duplicate column name '{}'", column.name),
                ));
            }
            schema.columns.push(column);
        }
        if !scanner.take_symbol(',') {
            break;
        }
    }
    scanner.need_symbol(')')
}

fn column(scanner: &mut Scanner) -> Result<Column, SqlError> {
    let mut column = Column {
        name: scanner.name()?,
        ty: data_type(scanner)?,
        nullable: true,
        default: Default::None,
        key: false,
        generated: None,
        comment: String::new(),
    };
    loop {
        if scanner.take("NOT NULL") {
            column.nullable = false;
        } else if scanner.take("NULL") {
            column.nullable = true;
        } else if scanner.take("KEY") {
            column.key = true;
        } else if scanner.take("AUTO_INCREMENT") {
            column.default = Default::AutoIncrement;
        } else if scanner.take("COMMENT") {
            column.comment = scanner.text()?;
        } else if scanner.take("DEFAULT") {
            column.default = default(scanner)?;
        } else if scanner.take("AS") {
            column.generated = Some(generated(scanner)?);
        } else {
            return Ok(column);
        }
    }
}

fn default(scanner: &mut Scanner) -> Result<Default, SqlError> {
    if scanner.take("NULL") {
        return Ok(Default::Null);
    }
    if scanner.take("CURRENT_TIMESTAMP") {
        if scanner.take_symbol('(') {
            scanner.skip_to_close()?;
        }
        return Ok(Default::CurrentTimestamp);
    }
    if scanner.take_symbol('(') {
        let text = scanner.skip_to_close()?;
        return if text.to_ascii_lowercase().starts_with("current_timestamp") {
            Ok(Default::CurrentTimestamp)
        } else {
            Err(SqlError::unknown(&format!("DEFAULT ({text})")))
        };
    }
    let minus = if scanner.take_symbol('-') { "-" } else { "" };
    match scanner.next() {
        Some(Token::Text(text)) => Ok(Default::Const(text)),
        Some(Token::Number(text)) => Ok(Default::Const(format!("{minus}{text}"))),
        Some(Token::Word { text, .. }) if text.eq_ignore_ascii_case("true") => {
            Ok(Default::Const("1".to_owned()))
        }
        Some(Token::Word { text, .. }) if text.eq_ignore_ascii_case("false") => {
            Ok(Default::Const("0".to_owned()))
        }
        other => Err(SqlError::unknown(&format!("DEFAULT {other:?}"))),
    }
}

/// The expression is kept as text; the column is never loaded and stays NULL.
fn generated(scanner: &mut Scanner) -> Result<String, SqlError> {
    let mut text = String::new();
    loop {
        match scanner.peek() {
            None | Some(Token::Symbol(',' | ')')) => return Ok(text.trim().to_owned()),
            Some(Token::Word { text: word, .. }) if word.eq_ignore_ascii_case("COMMENT") => {
                return Ok(text.trim().to_owned());
            }
            _ => {}
        }
        match scanner.next() {
            Some(Token::Symbol('(')) => text.push_str(&format!("({})", scanner.skip_to_close()?)),
            Some(Token::Symbol(c)) => text.push(c),
            Some(Token::Text(t)) => text.push_str(&format!("'{t}'")),
            Some(Token::Word { text: t, .. } | Token::Number(t)) => {
                text.push(' ');
                text.push_str(&t);
            }
            None => {}
        }
    }
}

fn length(scanner: &mut Scanner) -> Result<Option<u32>, SqlError> {
    if !scanner.take_symbol('(') {
        return Ok(None);
    }
    let n = scanner.number()?;
    scanner.need_symbol(')')?;
    Ok(Some(n))
}

fn data_type(scanner: &mut Scanner) -> Result<Type, SqlError> {
    let name = scanner.name()?.to_ascii_uppercase();
    Ok(match name.as_str() {
        "BOOLEAN" | "BOOL" => Type::Boolean,
        "TINYINT" | "SMALLINT" | "INT" | "INTEGER" | "BIGINT" | "LARGEINT" => {
            // A display width is accepted and means nothing.
            length(scanner)?;
            match name.as_str() {
                "TINYINT" => Type::TinyInt,
                "SMALLINT" => Type::SmallInt,
                "BIGINT" => Type::BigInt,
                "LARGEINT" => Type::LargeInt,
                _ => Type::Int,
            }
        }
        "FLOAT" => Type::Float,
        "DOUBLE" => Type::Double,
        "DECIMAL" | "DECIMALV3" | "NUMERIC" | "DECIMAL32" | "DECIMAL64" | "DECIMAL128" => {
            decimal_type(scanner)?
        }
        "DATE" => Type::Date,
        "DATETIME" => Type::DateTime,
        "CHAR" => Type::Char(length(scanner)?.unwrap_or(1)),
        "VARCHAR" => match scanner.take_symbol('(') {
            false => Type::Varchar(1),
            true if scanner.take_symbol('*') => {
                scanner.need_symbol(')')?;
                Type::String
            }
            true => {
                let n = scanner.number()?;
                scanner.need_symbol(')')?;
                Type::Varchar(n)
            }
        },
        "STRING" | "TEXT" => {
            length(scanner)?;
            Type::String
        }
        "VARBINARY" | "BINARY" => Type::Varbinary(length(scanner)?),
        "JSON" => Type::Json,
        "ARRAY" | "MAP" | "STRUCT" => Type::Nested(nested(scanner, &name)?),
        "BITMAP" | "HLL" | "PERCENTILE" => Type::Opaque(name.to_ascii_lowercase()),
        other => return Err(SqlError::unknown(&format!("type {other}"))),
    })
}

fn decimal_type(scanner: &mut Scanner) -> Result<Type, SqlError> {
    if !scanner.take_symbol('(') {
        return Ok(Type::Decimal(10, 0));
    }
    let precision = scanner.number()?;
    let scale = if scanner.take_symbol(',') { scanner.number()? } else { 0 };
    scanner.need_symbol(')')?;
    if !(1..=38).contains(&precision) || scale > precision {
        return Err(SqlError::new(1064, format!("DECIMAL({precision},{scale}) out of range")));
    }
    Ok(Type::Decimal(precision, scale))
}

fn nested(scanner: &mut Scanner, name: &str) -> Result<String, SqlError> {
    let mut text = format!("{}<", name.to_ascii_lowercase());
    scanner.need_symbol('<')?;
    loop {
        if name == "STRUCT" {
            text.push_str(&scanner.name()?);
            scanner.take_symbol(':');
            text.push(' ');
        }
        text.push_str(&data_type(scanner)?.create());
        if !scanner.take_symbol(',') {
            break;
        }
        text.push_str(if name == "STRUCT" { ", " } else { "," });
    }
    scanner.need_symbol('>')?;
    text.push('>');
    Ok(text)
}

fn name_list(scanner: &mut Scanner) -> Result<Vec<String>, SqlError> {
    scanner.need_symbol('(')?;
    let mut names = vec![scanner.name()?];
    while scanner.take_symbol(',') {
        names.push(scanner.name()?);
    }
    scanner.need_symbol(')')?;
    Ok(names)
}

/// Everything after the column list.
fn clauses(scanner: &mut Scanner, schema: &mut Schema) -> Done {
    let mut keys = None;
    while !scanner.is_end() {
        if scanner.take("ENGINE") {
            scanner.need_symbol('=')?;
            scanner.need("OLAP")?;
        } else if scanner.take("PRIMARY KEY") {
            keys = Some((Keys::Primary, name_list(scanner)?));
        } else if scanner.take("DUPLICATE KEY") {
            keys = Some((Keys::Duplicate, name_list(scanner)?));
        } else if scanner.take("UNIQUE KEY") {
            keys = Some((Keys::Unique, name_list(scanner)?));
        } else if scanner.take("AGGREGATE KEY") {
            return Err(SqlError::unknown("AGGREGATE KEY"));
        } else if scanner.take("COMMENT") {
            schema.comment = scanner.text()?;
        } else if scanner.take("DISTRIBUTED BY HASH") {
            schema.distributed_by = name_list(scanner)?;
            buckets(scanner, schema)?;
        } else if scanner.take("DISTRIBUTED BY RANDOM") {
            buckets(scanner, schema)?;
        } else if scanner.take("ORDER BY") {
            name_list(scanner)?;
        } else if scanner.take("PROPERTIES") {
            schema.properties = properties(scanner)?;
        } else if scanner.take("PARTITION BY") {
            partitions(scanner)?;
        } else {
            return Err(scanner.unexpected("a clause of CREATE TABLE"));
        }
    }
    set_keys(schema, keys)
}

fn buckets(scanner: &mut Scanner, schema: &mut Schema) -> Done {
    if scanner.take("BUCKETS") {
        schema.buckets = scanner.number()?;
    }
    Ok(())
}

/// Partitions are read over: every row finds a place.
fn partitions(scanner: &mut Scanner) -> Done {
    while !scanner.is_end() {
        let next = scanner.peek_word().unwrap_or_default().to_ascii_uppercase();
        if matches!(next.as_str(), "DISTRIBUTED" | "PROPERTIES" | "ORDER" | "COMMENT") {
            break;
        }
        scanner.next();
    }
    Ok(())
}

fn set_keys(schema: &mut Schema, keys: Option<(Keys, Vec<String>)>) -> Done {
    let Some((keys, names)) = keys else {
        // Without a key clause the leading columns sort a duplicate-key table.
        if let Some(first) = schema.columns.first_mut() {
            first.key = true;
        }
        return Ok(());
    };
    schema.keys = keys;
    for name in &names {
        let at = schema
            .position(name)
            .ok_or_else(|| SqlError::new(1072, format!("Key column({name}) doesn't exist.")))?;
        schema.columns[at].key = true;
        if keys == Keys::Primary {
            schema.columns[at].nullable = false;
        }
    }
    Ok(())
}

/// `'name'@'host'`, `'name'`, `name`; the host is dropped.
fn user_name(scanner: &mut Scanner) -> Result<String, SqlError> {
    let name = match scanner.next() {
        Some(Token::Text(text)) => text,
        Some(Token::Word { text, quoted: false }) => {
            text.split('@').next().unwrap_or_default().to_owned()
        }
        Some(Token::Word { text, .. }) => text,
        _ => return Err(scanner.unexpected("user")),
    };
    // `@` sticks to the word before or stands alone before the quoted host.
    let host_follows = match scanner.peek() {
        Some(Token::Symbol('@')) => true,
        Some(Token::Word { text, .. }) => text.starts_with('@'),
        _ => false,
    };
    if host_follows {
        let at = scanner.next();
        let alone = matches!(&at, Some(Token::Symbol('@')))
            || matches!(&at, Some(Token::Word { text, .. }) if text == "@");
        if alone {
            scanner.next();
        }
    }
    Ok(name)
}

fn create_user(state: &mut State, scanner: &mut Scanner) -> Done {
    let lenient = scanner.take("IF NOT EXISTS");
    let name = user_name(scanner)?;
    let mut user = User::default();
    if scanner.take("IDENTIFIED BY") || scanner.take("IDENTIFIED WITH MYSQL_NATIVE_PASSWORD BY") {
        user.password = scanner.text()?;
    }
    if scanner.take("DEFAULT ROLE") {
        set_role(&mut user, &scanner.name()?)?;
    }
    if state.users.0.contains_key(&name) {
        let text = format!("Operation CREATE USER failed for '{name}'@'%' : user already exists.");
        return if lenient { Ok(()) } else { Err(SqlError::new(1396, text)) };
    }
    state.users.0.insert(name, user);
    Ok(())
}

fn set_role(user: &mut User, role: &str) -> Done {
    match role.to_ascii_lowercase().as_str() {
        "root" | "db_admin" | "user_admin" => user.admin = true,
        "cluster_admin" => user.operate = true,
        "public" => {}
        other => return Err(SqlError::unknown(&format!("role {other}"))),
    }
    Ok(())
}

fn grant(state: &mut State, db: Option<&str>, scanner: &mut Scanner) -> Done {
    let mut words = Vec::new();
    loop {
        let mut word = scanner.name()?.to_ascii_uppercase();
        while matches!(scanner.peek_word(), Some(w) if !is_grant_end(w)) {
            word.push(' ');
            word.push_str(&scanner.name()?.to_ascii_uppercase());
        }
        words.push(word.trim_matches('\'').to_owned());
        if !scanner.take_symbol(',') {
            break;
        }
    }
    if scanner.take("TO") {
        scanner.take("USER");
        let name = user_name(scanner)?;
        let user = known_user(state, &name)?;
        return words.iter().try_for_each(|role| set_role(user, role));
    }
    scanner.need("ON")?;
    let system = scanner.take("SYSTEM");
    let scope = if system { (None, None) } else { scope(scanner, db)? };
    scanner.need("TO")?;
    scanner.take("USER");
    let name = user_name(scanner)?;
    scanner.take("WITH GRANT OPTION");
    let user = known_user(state, &name)?;
    let has = |name: &str| words.iter().any(|w| w == name || w == "ALL" || w == "ALL PRIVILEGES");
    if system {
        user.operate |= has("OPERATE") || has("NODE");
        return Ok(());
    }
    let known = [
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "ALL",
        "ALL PRIVILEGES",
        "USAGE",
        "CREATE TABLE",
        "DROP",
        "ALTER",
        "EXPORT",
        "SELECT_PRIV",
        "LOAD_PRIV",
    ];
    if let Some(word) = words.iter().find(|w| !known.contains(&w.as_str())) {
        return Err(SqlError::unknown(&format!("privilege {word}")));
    }
    let (db, table) = scope;
    let (select, insert) = (has("SELECT") || has("SELECT_PRIV"), has("INSERT") || has("LOAD_PRIV"));
    user.grants.push(Grant { select, insert, db, table });
    Ok(())
}

fn is_grant_end(word: &str) -> bool {
    word.eq_ignore_ascii_case("ON") || word.eq_ignore_ascii_case("TO")
}

type Scope = (Option<String>, Option<String>);

/// What a GRANT is on: `ALL TABLES IN …`, `DATABASE d`, `[TABLE] d.t`, `d.*`.
fn scope(scanner: &mut Scanner, db: Option<&str>) -> Result<Scope, SqlError> {
    if scanner.take("ALL TABLES IN ALL DATABASES") || scanner.take("ALL DATABASES") {
        return Ok((None, None));
    }
    if scanner.take("ALL TABLES IN DATABASE") || scanner.take("DATABASE") {
        return Ok((Some(scanner.name()?), None));
    }
    scanner.take("TABLE");
    if scanner.take_symbol('*') {
        scanner.need_symbol('.')?;
        scanner.need_symbol('*')?;
        return Ok((None, None));
    }
    let first = scanner.name()?;
    if !scanner.take_symbol('.') {
        return Ok((db.map(str::to_owned), Some(first)));
    }
    if scanner.take_symbol('*') {
        return Ok((Some(first), None));
    }
    Ok((Some(first), Some(scanner.name()?)))
}

fn known_user<'a>(state: &'a mut State, name: &str) -> Result<&'a mut User, SqlError> {
    let text = format!("Getting analyzing error. Detail message: Unknown user '{name}'@'%'.");
    state.users.0.get_mut(name).ok_or_else(|| SqlError::new(1064, text))
}
