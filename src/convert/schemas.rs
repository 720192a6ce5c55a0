//! What converters ask of a schema registry, and nothing of how it is asked.

use std::fmt;
use std::sync::Arc;

use super::wire::SchemaId;
use crate::data::Failure;

/// What language a registered schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaKind {
    Avro,
    Protobuf,
    Json,
}

impl SchemaKind {
    /// The registry's own name of the kind (`schemaType`).
    pub fn name(self) -> &'static str {
        match self {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Json => "JSON",
        }
    }
}

/// One schema with all it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredSchema {
    pub kind: SchemaKind,
    pub text: String,
    /// (name in the referring schema, text), each after those it needs itself.
    pub references: Vec<(String, String)>,
    /// The version under its subject, where the registry tells it.
    pub version: Option<i32>,
}

/// Where converters get schemas from. Shared by all lanes; an answer may take its time, and is
/// remembered by the source.
///
/// Its refusals are [`crate::data::Exception::Retriable`] while the source cannot be asked,
/// `Authorization` or `Config` where it does not let us, and `Data` where it knows no such schema.
pub trait SchemaSource: fmt::Debug + Send + Sync {
    /// `subject`: where the schema is expected to stand, for sources that guard subjects apart.
    fn schema(&self, id: SchemaId, subject: Option<&str>)
    -> Result<Arc<RegisteredSchema>, Failure>;
}
