//! Random chains of transforms and predicates, as a connector configuration names them.

use super::dice::Dice;
use super::records::{Form, NAMES};

/// A configuration in the making.
pub(super) type Config = Vec<(String, String)>;

const BASE: &str = "org.apache.kafka.connect.transforms.";

/// Patterns of java.text.SimpleDateFormat that people use, and some that they should not.
const FORMATS: [&str; 12] = [
    "yyyy-MM-dd",
    "yyyy-MM-dd HH:mm:ss",
    "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'",
    "yyyyMMdd",
    "dd/MM/yyyy HH:mm",
    "EEE, d MMM yyyy HH:mm:ss Z",
    "yyyy-MM-dd'T'HH:mm:ssXXX",
    "yyyy-MM-dd HH:mm:ss.SSSSSS",
    "h:mm a, EEEE d MMMM yyyy",
    "D yyyy",
    "HH:mm:ss",
    "yyyy-M-d'T'k:m:s.S",
];

/// Which of Debezium's two sets of delete options is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    /// 2.5 to 3.1: both.
    Old,
    /// From 3.2 on the old ones are ignored there.
    New,
}

/// A chain of one to four transforms for values of this form; `connector`: with one of the StarRocks
/// connector's own in front.
pub(super) fn random(
    dice: &mut Dice,
    form: Form,
    generation: Generation,
    connector: bool,
) -> Config {
    let mut config = Config::new();
    let mut aliases = Vec::new();
    let mut steps = 1 + dice.below(3);
    if connector {
        add(&mut config, &mut aliases, dice, |dice: &mut Dice| own(dice, form));
    }
    if form == Form::Envelope && !dice.once_in(6) {
        if dice.once_in(8) {
            add(&mut config, &mut aliases, dice, by_table);
        }
        let unwrap = |dice: &mut Dice| unwrap(dice, generation);
        add(&mut config, &mut aliases, dice, unwrap);
        steps -= 1;
    }
    for _ in 0..steps {
        add(&mut config, &mut aliases, dice, |dice: &mut Dice| any(dice, generation));
    }
    config.push(("transforms".into(), aliases.join(",")));
    let predicates = [
        (
            "p0",
            "TopicNameMatches",
            "pattern",
            dice.pick(&["orders", "or.*", "(a|b)c?", "shop\\..*"]),
        ),
        ("p1", "HasHeaderKey", "name", dice.pick(&["h", "x"])),
    ];
    for (alias, class, key, value) in predicates {
        config.push((format!("predicates.{alias}.type"), format!("{BASE}predicates.{class}")));
        config.push((format!("predicates.{alias}.{key}"), value.into()));
    }
    config.push(("predicates.p2.type".into(), format!("{BASE}predicates.RecordIsTombstone")));
    config.push(("predicates".into(), "p0,p1,p2".into()));
    config
}

type Options = Vec<(&'static str, String)>;

fn add(
    config: &mut Config,
    aliases: &mut Vec<String>,
    dice: &mut Dice,
    step: impl Fn(&mut Dice) -> (String, Options),
) {
    let alias = format!("t{}", aliases.len());
    let (class, options) = step(dice);
    let is_filter = class.ends_with(".Filter");
    let mut put =
        |key: &str, value: String| config.push((format!("transforms.{alias}.{key}"), value));
    put("type", class);
    for (key, value) in options {
        put(key, value);
    }
    if is_filter || dice.once_in(6) {
        put("predicate", dice.pick(&["p0", "p1", "p2"]).into());
        if dice.once_in(2) {
            put("negate", dice.pick(&["true", "false", "yes"]).into());
        }
    }
    aliases.push(alias);
}

fn field(dice: &mut Dice) -> String {
    dice.pick(&NAMES).to_owned()
}

fn fields(dice: &mut Dice) -> String {
    dice.some(&NAMES, 3)
}

/// The side suffix of a class.
fn sided(dice: &mut Dice, name: &str) -> String {
    format!("{BASE}{name}${}", dice.pick(&["Value", "Value", "Value", "Key"]))
}

fn any(dice: &mut Dice, generation: Generation) -> (String, Options) {
    let mut options = Options::new();
    let class = match dice.below(34) {
        0..=4 => {
            options.push(("spec", cast_spec(dice)));
            sided(dice, "Cast")
        }
        5 | 6 => {
            extract(dice, &mut options);
            sided(dice, "ExtractField")
        }
        7 | 8 => {
            if dice.once_in(2) {
                options.push(("delimiter", dice.pick(&["_", ".", " ", "__"]).into()));
            }
            sided(dice, "Flatten")
        }
        9 | 10 => {
            let count = 1 + dice.below(2);
            options.push((
                "fields",
                NAMES[..6]
                    .iter()
                    .map(|n| (*n).to_owned())
                    .skip(dice.below(4))
                    .take(count)
                    .collect::<Vec<_>>()
                    .join(","),
            ));
            options.push(("headers", ["h", "x"][..count].join(",")));
            options.push(("operation", dice.pick(&["move", "copy"]).into()));
            sided(dice, "HeaderFrom")
        }
        11 => {
            options.push(("field", field(dice)));
            sided(dice, "HoistField")
        }
        12..=14 => {
            insert(dice, &mut options);
            sided(dice, "InsertField")
        }
        15 => {
            options.push(("header", dice.pick(&["h", "new"]).into()));
            let literal = dice.pick(&[
                "12",
                "abc",
                "true",
                "2024-01-31",
                "1.5",
                "[1,2,\"a\"]",
                "{\"a\":1}",
                "",
                "40000",
            ]);
            options.push(("value.literal", literal.into()));
            format!("{BASE}InsertHeader")
        }
        16 => {
            options.push(("headers", dice.some(&["h", "x", "none"], 2)));
            format!("{BASE}DropHeaders")
        }
        17 | 18 => {
            options.push(("fields", fields(dice)));
            if dice.once_in(2) {
                options.push(("replacement", dice.pick(&["***", "0", "300", "1.5", ""]).into()));
            }
            sided(dice, "MaskField")
        }
        19..=21 => {
            replace(dice, &mut options);
            sided(dice, "ReplaceField")
        }
        22 => {
            if dice.once_in(2) {
                options.push(("schema.name", "New".into()));
            }
            if dice.once_in(2) {
                options.push(("schema.version", "7".into()));
            }
            sided(dice, "SetSchemaMetadata")
        }
        23..=26 => {
            convert_time(dice, &mut options);
            sided(dice, "TimestampConverter")
        }
        27 => {
            if dice.once_in(2) {
                options.push((
                    "topic.format",
                    dice.pick(&["${topic}_${timestamp}", "x-${timestamp}", "${topic}"]).into(),
                ));
            }
            if dice.once_in(2) {
                options
                    .push(("timestamp.format", dice.pick(&["yyyy-MM", "yyyyMMddHH", "D"]).into()));
            }
            format!("{BASE}TimestampRouter")
        }
        28 | 29 => {
            options.push(("fields", fields(dice)));
            format!("{BASE}ValueToKey")
        }
        30 => {
            options.push((
                "regex",
                dice.pick(&["(.*)", "or(.)ers", "([a-z]+)\\.(\\w+)", "x|orders", "(?<n>o.*)"])
                    .into(),
            ));
            options.push((
                "replacement",
                dice.pick(&["$1", "t_$0", "fixed", "$2-$1", "a\\$b", "${n}"]).into(),
            ));
            format!("{BASE}RegexRouter")
        }
        31 => format!("{BASE}Filter"),
        32 => return changed_fields(dice),
        _ => return unwrap(dice, generation),
    };
    let may_replace =
        ["Cast", "ExtractField", "HeaderFrom", "InsertField", "MaskField", "ReplaceField"];
    let may_too = ["SetSchemaMetadata", "TimestampConverter", "ValueToKey"];
    if may_replace.iter().chain(&may_too).any(|name| class.contains(name)) && dice.once_in(2) {
        options.push(("replace.null.with.default", dice.pick(&["true", "false"]).into()));
    }
    (class, options)
}

fn cast_spec(dice: &mut Dice) -> String {
    const TYPES: [&str; 8] =
        ["int8", "int16", "int32", "int64", "float32", "float64", "boolean", "string"];
    let kind = |dice: &mut Dice| match dice.below(40) {
        0 => "INT32",
        1 => "bytes",
        _ => dice.pick(&TYPES),
    };
    if dice.once_in(8) {
        return kind(dice).into();
    }
    let names = fields(dice);
    let one = |name| format!("{name}:{}", kind(dice));
    names.split(',').map(one).collect::<Vec<_>>().join(",")
}

fn extract(dice: &mut Dice, options: &mut Options) {
    if dice.once_in(2) {
        options.push(("field", field(dice)));
        return;
    }
    let path = dice.pick(&[
        "inner.id",
        "inner.inner.name",
        "after.id",
        "`a.b`",
        "inner.`a.b`",
        "`a.b",
        "source.table",
    ]);
    options.push(("field", path.into()));
    options.push(("field.syntax.version", dice.pick(&["V2", "V2", "v2", "V1"]).into()));
}

fn insert(dice: &mut Dice, options: &mut Options) {
    let name = |dice: &mut Dice, name: &str| {
        let suffix = dice.pick(&["", "", "?", "!"]);
        let taken = dice.once_in(12);
        format!("{}{suffix}", if taken { "id" } else { name })
    };
    for (key, default) in [
        ("topic.field", "_t"),
        ("partition.field", "_p"),
        ("offset.field", "_o"),
        ("timestamp.field", "_ts"),
    ] {
        if dice.once_in(2) {
            options.push((key, name(dice, default)));
        }
    }
    if dice.once_in(3) {
        options.push(("static.field", name(dice, "_s")));
        if !dice.once_in(10) {
            options.push(("static.value", dice.pick(&["fix", " 12 ", "true"]).into()));
        }
    }
}

fn replace(dice: &mut Dice, options: &mut Options) {
    if dice.once_in(2) {
        options.push(("exclude", fields(dice)));
    }
    if dice.once_in(3) {
        options.push(("include", dice.some(&NAMES, 6)));
    }
    if dice.once_in(2) {
        options.push((
            "renames",
            dice.pick(&["id:key", "name:title,qty:n", "id:name,name:id", "at:when", "a.b:c"])
                .into(),
        ));
    }
}

fn convert_time(dice: &mut Dice, options: &mut Options) {
    match dice.below(8) {
        0 => {}
        1 => options.push(("field", field(dice))),
        n => options.push(("field", if n % 2 == 0 { "at" } else { "day" }.into())),
    }
    options
        .push(("target.type", dice.pick(&["string", "unix", "Date", "Time", "Timestamp"]).into()));
    if !dice.once_in(3) {
        options.push(("format", dice.pick(&FORMATS).into()));
    }
    if dice.once_in(2) {
        let unit = dice.pick(&["seconds", "milliseconds", "microseconds", "nanoseconds"]);
        options.push(("unix.precision", unit.into()));
    }
}

fn unwrap(dice: &mut Dice, generation: Generation) -> (String, Options) {
    let mut options = Options::new();
    match dice.below(4) {
        0 => {}
        3 if generation == Generation::New => {}
        1 | 2 => {
            let modes = [
                "drop",
                "tombstone",
                "rewrite",
                "rewrite-with-tombstone",
                "Rewrite",
                "delete-to-tombstone",
                "x",
            ];
            // The last two are no modes of old; it took them and then failed on every record.
            let modes = if generation == Generation::Old { &modes[..5] } else { &modes[..] };
            options.push(("delete.tombstone.handling.mode", dice.pick(modes).into()));
        }
        _ => {
            if !dice.once_in(3) {
                options
                    .push(("delete.handling.mode", dice.pick(&["drop", "none", "rewrite"]).into()));
            }
            if dice.once_in(2) {
                options.push(("drop.tombstones", dice.pick(&["true", "false"]).into()));
            }
        }
    }
    const ADDED: [&str; 9] = [
        "op",
        "table",
        "source.ts_ms",
        "lsn:pos",
        "ts_ms",
        "transaction.id",
        "nothing",
        "id",
        "source.table:tbl",
    ];
    for key in ["add.fields", "add.headers"] {
        if dice.once_in(3) {
            options.push((key, dice.some(&ADDED, 3)));
            if dice.once_in(3) {
                let prefix =
                    if key == "add.fields" { "add.fields.prefix" } else { "add.headers.prefix" };
                options.push((prefix, dice.pick(&["", "_", " dbz "]).into()));
            }
        }
    }
    if dice.once_in(8) {
        options.push(("route.by.field", dice.pick(&["name", "note", "qty"]).into()));
    }
    if dice.once_in(8) {
        options.push(("drop.fields.header.name", "drop".into()));
        options.push(("drop.fields.keep.schema.compatible", dice.pick(&["true", "false"]).into()));
        options.push(("drop.fields.from.key", dice.pick(&["true", "false"]).into()));
    }
    // Of old there was no such option.
    if generation == Generation::New && dice.once_in(2) {
        options.push(("replace.null.with.default", dice.pick(&["true", "false"]).into()));
    }
    ("io.debezium.transforms.ExtractNewRecordState".into(), options)
}

/// The StarRocks connector's transforms.
fn own(dice: &mut Dice, form: Form) -> (String, Options) {
    let class = |name| format!("com.starrocks.connector.kafka.transforms.{name}");
    let mut options = Options::new();
    if form == Form::Envelope && !dice.once_in(4) {
        return (class("AddOpFieldForDebeziumRecord"), options);
    }
    if dice.once_in(2) {
        options.push(("fields", dice.pick(&["at", "day,at", "id , qty", "", "none"]).into()));
    }
    if dice.once_in(2) {
        options.push(("format", dice.pick(&["HH:mm:ss", "HH:mm:ss.SSS", ""]).into()));
    }
    (class("TimeMillisToStringTransform"), options)
}

fn by_table(dice: &mut Dice) -> (String, Options) {
    let mut options: Options = vec![
        ("topic.regex", dice.pick(&["(.*)", "or(.*)", "shop\\.(.*)"]).into()),
        ("topic.replacement", dice.pick(&["all", "$1_x"]).into()),
    ];
    if dice.once_in(2) {
        options.push(("key.enforce.uniqueness", dice.pick(&["true", "false"]).into()));
    }
    if dice.once_in(3) {
        options.push(("key.field.name", "from".into()));
    }
    if dice.once_in(3) {
        options.push(("key.field.regex", "o(.*)".into()));
        options.push(("key.field.replacement", "$1".into()));
    }
    ("io.debezium.transforms.ByLogicalTableRouter".into(), options)
}

fn changed_fields(dice: &mut Dice) -> (String, Options) {
    let mut options = Options::new();
    if !dice.once_in(3) {
        options.push(("header.changed.name", "changed".into()));
    }
    if !dice.once_in(3) {
        options.push(("header.unchanged.name", "unchanged".into()));
    }
    ("io.debezium.transforms.ExtractChangedRecordState".into(), options)
}
