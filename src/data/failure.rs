//! Why a converter or transform refused: in Connect's words, with the exception Connect would throw.
//! Owns no position and no stage; whoever ran the step adds them.

use std::fmt;

/// The Java exceptions that Connect's steps throw; dead letters carry the class name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    Data,
    Connect,
    Config,
    SchemaBuilder,
    IllegalArgument,
    IndexOutOfBounds,
    NullPointer,
    Serialization,
    /// Something outside is away for a while; the record may be as good as any.
    Retriable,
    /// Something outside does not let us.
    Authorization,
}

impl Exception {
    pub fn java_class(self) -> &'static str {
        match self {
            Exception::Data => "org.apache.kafka.connect.errors.DataException",
            Exception::Connect => "org.apache.kafka.connect.errors.ConnectException",
            Exception::Config => "org.apache.kafka.common.config.ConfigException",
            Exception::SchemaBuilder => "org.apache.kafka.connect.errors.SchemaBuilderException",
            Exception::IllegalArgument => "java.lang.IllegalArgumentException",
            Exception::IndexOutOfBounds => "java.lang.IndexOutOfBoundsException",
            Exception::NullPointer => "java.lang.NullPointerException",
            Exception::Serialization => "org.apache.kafka.common.errors.SerializationException",
            Exception::Retriable => "org.apache.kafka.connect.errors.RetriableException",
            Exception::Authorization => "org.apache.kafka.common.errors.AuthorizationException",
        }
    }
}

/// A refusal: of a record while it is converted or transformed, or of an option while it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub exception: Exception,
    pub message: String,
}

impl Failure {
    pub fn new(exception: Exception, message: impl Into<String>) -> Self {
        Failure { exception, message: message.into() }
    }

    /// Connect's DataException: this record cannot be taken.
    pub fn data(message: impl Into<String>) -> Self {
        Failure::new(Exception::Data, message)
    }

    /// Kafka's ConfigException: this option cannot be taken.
    pub fn config(message: impl Into<String>) -> Self {
        Failure::new(Exception::Config, message)
    }

    /// ConfigException in the form Kafka prints for one option's value.
    pub fn option(key: &str, value: &str, why: &str) -> Self {
        Failure::config(format!("Invalid value {value} for configuration {key}: {why}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
