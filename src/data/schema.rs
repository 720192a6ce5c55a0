//! Schemas: what a value is made of. Shared, immutable, compared by identity first.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{Datum, Failure};

pub const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
pub const DATE: &str = "org.apache.kafka.connect.data.Date";
pub const TIME: &str = "org.apache.kafka.connect.data.Time";
pub const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
/// Decimal's parameter that says how many digits stand after the point.
pub const SCALE: &str = "scale";
/// Parameter of an int64 whose bits are an unsigned number (Protobuf's uint64): written as such.
pub const UNSIGNED: &str = "starsink.unsigned";

/// Connect's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    Int8,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Boolean,
    String,
    Bytes,
    Array,
    Map,
    Struct,
}

impl Type {
    /// The name in JSON schemas.
    pub fn json_name(self) -> &'static str {
        match self {
            Type::Int8 => "int8",
            Type::Int16 => "int16",
            Type::Int32 => "int32",
            Type::Int64 => "int64",
            Type::Float32 => "float",
            Type::Float64 => "double",
            Type::Boolean => "boolean",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Array => "array",
            Type::Map => "map",
            Type::Struct => "struct",
        }
    }

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Type::Int8 => "INT8",
            Type::Int16 => "INT16",
            Type::Int32 => "INT32",
            Type::Int64 => "INT64",
            Type::Float32 => "FLOAT32",
            Type::Float64 => "FLOAT64",
            Type::Boolean => "BOOLEAN",
            Type::String => "STRING",
            Type::Bytes => "BYTES",
            Type::Array => "ARRAY",
            Type::Map => "MAP",
            Type::Struct => "STRUCT",
        }
    }
}

/// What a schema's name makes of its type: Kafka's logical types and Debezium's semantic ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logical {
    Plain,
    /// Bytes holding an unscaled two's complement number; `None`: the schema names no scale.
    Decimal {
        scale: Option<i32>,
    },
    /// int32: days since the epoch.
    Date,
    /// int32: milliseconds since midnight.
    Time,
    /// int64: milliseconds since the epoch.
    Timestamp,
    /// int32: days since the epoch (Debezium).
    EpochDays,
    /// int32 or int64 since midnight (Debezium); units per second.
    TimeOfDay {
        per_second: i64,
    },
    /// int64 since the epoch, zoneless (Debezium); units per second.
    Epoch {
        per_second: i64,
    },
    /// Text with an offset (Debezium's ZonedTimestamp).
    ZonedTimestamp,
    /// Struct of a scale and unscaled bytes (Debezium).
    VariableScaleDecimal,
    /// Text that is JSON (Debezium, and ours for schemas that allow anything).
    Json,
    /// int64 whose bits are an unsigned number.
    Unsigned,
}

impl Logical {
    fn of(kind: Type, name: Option<&str>, parameters: &[(Arc<str>, Arc<str>)]) -> Logical {
        let scale = || {
            let scale = parameters.iter().find(|(key, _)| &**key == SCALE);
            scale.and_then(|(_, value)| value.trim().parse().ok())
        };
        match (kind, name.unwrap_or_default()) {
            (Type::Bytes, DECIMAL) => Logical::Decimal { scale: scale() },
            (Type::Int32, DATE) => Logical::Date,
            (Type::Int32, TIME) => Logical::Time,
            (Type::Int64, TIMESTAMP) => Logical::Timestamp,
            (Type::Int32, "io.debezium.time.Date") => Logical::EpochDays,
            (Type::Int32, "io.debezium.time.Time") => Logical::TimeOfDay { per_second: 1_000 },
            (Type::Int64, "io.debezium.time.MicroTime") => {
                Logical::TimeOfDay { per_second: 1_000_000 }
            }
            (Type::Int64, "io.debezium.time.NanoTime") => {
                Logical::TimeOfDay { per_second: 1_000_000_000 }
            }
            (Type::Int64, "io.debezium.time.Timestamp") => Logical::Epoch { per_second: 1_000 },
            (Type::Int64, "io.debezium.time.MicroTimestamp") => {
                Logical::Epoch { per_second: 1_000_000 }
            }
            (Type::Int64, "io.debezium.time.NanoTimestamp") => {
                Logical::Epoch { per_second: 1_000_000_000 }
            }
            (Type::String, "io.debezium.time.ZonedTimestamp" | "io.debezium.time.IsoTimestamp") => {
                Logical::ZonedTimestamp
            }
            (Type::Struct, "io.debezium.data.VariableScaleDecimal") => {
                Logical::VariableScaleDecimal
            }
            (Type::String, "io.debezium.data.Json" | "starsink.data.Json") => Logical::Json,
            (Type::Int64, _) if parameters.iter().any(|(key, _)| &**key == UNSIGNED) => {
                Logical::Unsigned
            }
            _ => Logical::Plain,
        }
    }
}

/// One field of a struct.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: Arc<str>,
    pub schema: Schema,
}

/// What a schema says, as a builder: fill it in, then [`Schema::new`].
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaDef {
    pub kind: Type,
    pub optional: bool,
    pub default: Option<Datum<'static>>,
    pub name: Option<Arc<str>>,
    pub version: Option<i32>,
    pub doc: Option<Arc<str>>,
    /// Sorted by key, so that equal sets compare equal.
    pub parameters: Vec<(Arc<str>, Arc<str>)>,
    /// Of a struct; empty otherwise.
    pub fields: Vec<Field>,
    /// Of a map; `None`: the keys describe themselves.
    pub keys: Option<Schema>,
    /// Elements of an array or values of a map; `None`: they describe themselves.
    pub items: Option<Schema>,
}

impl SchemaDef {
    pub fn new(kind: Type) -> Self {
        SchemaDef {
            kind,
            optional: false,
            default: None,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            fields: Vec::new(),
            keys: None,
            items: None,
        }
    }

    /// A definition of another kind with this one's name, version, doc and parameters: what Connect
    /// calls the schema's basics. Optional, default and fields stay behind.
    pub fn basics_of(other: &SchemaDef, kind: Type) -> Self {
        SchemaDef {
            name: other.name.clone(),
            version: other.version,
            doc: other.doc.clone(),
            parameters: other.parameters.clone(),
            ..SchemaDef::new(kind)
        }
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub fn named(mut self, name: &str, version: i32) -> Self {
        self.name = Some(name.into());
        self.version = Some(version);
        self
    }

    pub fn parameter(mut self, key: &str, value: &str) -> Self {
        let at = self.parameters.partition_point(|(known, _)| &**known < key);
        match self.parameters.get_mut(at) {
            Some((known, old)) if &**known == key => *old = value.into(),
            _ => self.parameters.insert(at, (key.into(), value.into())),
        }
        self
    }

    /// Adds a field; a second one of the same name is refused as Connect refuses it.
    pub fn add_field(&mut self, name: impl Into<Arc<str>>, schema: Schema) -> Result<(), Failure> {
        let name = name.into();
        // Linear while a struct is narrow; Schema::new rejects nothing, so this is the only check.
        if self.fields.iter().any(|field| field.name == name) {
            return Err(Failure::new(
                super::Exception::SchemaBuilder,
                format!("Cannot create field because of field name duplication {name}"),
            ));
        }
        self.fields.push(Field { name, schema });
        Ok(())
    }

    pub fn build(self) -> Schema {
        Schema::new(self)
    }
}

/// Fields from which an index is kept beside the list.
const INDEXED_FROM: usize = 12;

struct Node {
    def: SchemaDef,
    logical: Logical,
    index: Option<HashMap<Arc<str>, usize>>,
    /// Each field's name as a JSON member begins: quoted, escaped, with its colon.
    prefixes: Vec<Box<str>>,
}

/// A schema, cheap to clone. Equal by content; [`Schema::is_same`] compares identity.
#[derive(Clone)]
pub struct Schema(Arc<Node>);

impl Schema {
    pub fn new(def: SchemaDef) -> Self {
        let logical = Logical::of(def.kind, def.name.as_deref(), &def.parameters);
        let index = (def.fields.len() >= INDEXED_FROM).then(|| {
            def.fields.iter().enumerate().map(|(at, field)| (field.name.clone(), at)).collect()
        });
        let prefix = |field: &Field| format!("{}:", serde_json::Value::from(&*field.name)).into();
        let prefixes = def.fields.iter().map(prefix).collect();
        Schema(Arc::new(Node { def, logical, index, prefixes }))
    }

    /// A required schema of a plain type.
    pub fn of(kind: Type) -> Self {
        Schema::new(SchemaDef::new(kind))
    }

    pub fn optional_of(kind: Type) -> Self {
        Schema::new(SchemaDef::new(kind).optional())
    }

    /// Kafka's Decimal with this scale.
    pub fn decimal(scale: i32) -> Self {
        SchemaDef::new(Type::Bytes).named(DECIMAL, 1).parameter(SCALE, &scale.to_string()).build()
    }

    pub fn logical(&self) -> Logical {
        self.0.logical
    }

    /// A copy to build another schema from.
    pub fn to_def(&self) -> SchemaDef {
        self.0.def.clone()
    }

    /// Where a field of that name stands.
    pub fn field_at(&self, name: &str) -> Option<usize> {
        match &self.0.index {
            Some(index) => index.get(name).copied(),
            None => self.0.def.fields.iter().position(|field| &*field.name == name),
        }
    }

    pub fn field(&self, name: &str) -> Option<&Field> {
        self.field_at(name).map(|at| &self.0.def.fields[at])
    }

    /// How field `at` begins as a member of a JSON object: `"name":`.
    pub fn member_prefix(&self, at: usize) -> Option<&str> {
        self.0.prefixes.get(at).map(|prefix| &**prefix)
    }

    pub fn is_same(&self, other: &Schema) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number that stays this schema's own while it lives.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }
}

impl Deref for Schema {
    type Target = SchemaDef;

    fn deref(&self) -> &SchemaDef {
        &self.0.def
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        self.is_same(other) || self.0.def == other.0.def
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.def.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logical_name_counts_only_on_its_own_type() {
        let timestamp = |kind| SchemaDef::new(kind).named(TIMESTAMP, 1).build().logical();
        assert_eq!(timestamp(Type::Int64), Logical::Timestamp);
        assert_eq!(timestamp(Type::String), Logical::Plain);
        assert_eq!(Schema::decimal(3).logical(), Logical::Decimal { scale: Some(3) });
    }

    #[test]
    fn fields_are_found_by_name_in_narrow_and_wide_structs() {
        for width in [3, 40] {
            let mut def = SchemaDef::new(Type::Struct);
            for n in 0..width {
                def.add_field(format!("f{n}"), Schema::of(Type::Int8)).expect("unique");
            }
            assert!(def.add_field("f1", Schema::of(Type::Int8)).is_err());
            let schema = def.build();
            assert_eq!(schema.field_at("f2"), Some(2));
            assert_eq!(schema.field_at("g"), None);
        }
    }
}
