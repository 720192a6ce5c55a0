//! From a registered schema to a message type: parsing, imports, the frame's path.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{FileDescriptor, MessageDescriptor};
use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::data::Failure;

/// The name the schema itself is known by; nothing imports it.
const ROOT: &str = "registered.proto";

/// Files that schemas import without registering them, reduced to what a reader needs.
const KNOWN: &[(&str, &str)] = &[
    (
        "google/type/date.proto",
        r#"syntax = "proto3"; package google.type;
           message Date { int32 year = 1; int32 month = 2; int32 day = 3; }"#,
    ),
    (
        "google/type/timeofday.proto",
        r#"syntax = "proto3"; package google.type;
           message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }"#,
    ),
    (
        "confluent/type/decimal.proto",
        r#"syntax = "proto3"; package confluent.type;
           message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"#,
    ),
    (
        "confluent/meta.proto",
        r#"syntax = "proto3"; package confluent; import "google/protobuf/descriptor.proto";
           message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
           extend google.protobuf.FileOptions { Meta file_meta = 1088; }
           extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
           extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
           extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
           extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }"#,
    ),
];

struct Sources {
    /// (import path, schema); the schema itself is first.
    files: Vec<(String, String)>,
}

impl FileResolver for Sources {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_string)
    }

    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if let Some((_, text)) = self.files.iter().find(|(known, _)| known == name) {
            return open(name, text);
        }
        if let Some((_, text)) = KNOWN.iter().find(|(known, _)| *known == name) {
            return File::from_source(name, text);
        }
        GoogleFileResolver::new().open_file(name)
    }
}

/// What a descriptor may name; proto2 is also what none means.
const SYNTAXES: [&str; 2] = ["proto2", "proto3"];

/// Proto text, or a base64 FileDescriptorProto under the name it is asked for.
fn open(name: &str, text: &str) -> Result<File, protox::Error> {
    let bytes = BASE64.decode(text.trim()).ok();
    match bytes.and_then(|bytes| FileDescriptorProto::decode(bytes.as_slice()).ok()) {
        Some(mut descriptor) => {
            // Of another syntax (`editions`) prost-reflect 0.16 reports with a panic.
            if let Some(other) =
                descriptor.syntax.as_deref().filter(|syntax| !SYNTAXES.contains(syntax))
            {
                let why = format!("syntax `{other:.40}` is neither proto2 nor proto3");
                return Err(protox::Error::new(why));
            }
            descriptor.name = Some(name.to_string());
            Ok(File::from_file_descriptor_proto(descriptor))
        }
        None => File::from_source(name, text),
    }
}

/// Compiles a schema with its references.
pub(super) fn file(schema: &str, references: &[(&str, &str)]) -> Result<FileDescriptor, Failure> {
    let mut files = vec![(ROOT.to_string(), schema.to_string())];
    files.extend(references.iter().map(|(name, text)| (name.to_string(), text.to_string())));
    let refused = |error: protox::Error| {
        Failure::data(format!("the Protobuf schema does not compile: {error:?}"))
    };
    let mut compiler = protox::Compiler::with_file_resolver(Sources { files });
    compiler.include_imports(true).open_file(ROOT).map_err(refused)?;
    let pool = compiler.descriptor_pool();
    pool.get_file_by_name(ROOT)
        .ok_or_else(|| Failure::data("the Protobuf schema has no file of its own"))
}

/// The message type at a path of indexes: the first names a type of the file, the others types
/// within. Types that the compiler makes up for maps do not count, unless a path only makes sense
/// with them (some clients count them).
pub(super) fn message(
    file: &FileDescriptor,
    indexes: &[i32],
) -> Result<MessageDescriptor, Failure> {
    let missing = || {
        Failure::data(format!("the Protobuf schema has no message type at index path {indexes:?}"))
    };
    let (first, inner) = indexes.split_first().ok_or_else(missing)?;
    let first = usize::try_from(*first).map_err(|_| missing())?;
    let mut message = file.messages().nth(first).ok_or_else(missing)?;
    for index in inner {
        let index = usize::try_from(*index).map_err(|_| missing())?;
        let declared = message.child_messages().filter(|child| !child.is_map_entry()).nth(index);
        let counted = message.child_messages().nth(index);
        message = declared.or(counted).ok_or_else(missing)?;
    }
    Ok(message)
}
