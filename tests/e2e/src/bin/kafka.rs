//! Starts a Kafka broker, prints where it is as one line of JSON, and runs until it is killed.

use std::sync::mpsc;

use anyhow::Result;
use clap::Parser;
use e2e::kafka::{Kafka, Options, SASL_PASSWORD, SASL_USER, Security, Version};

/// Start Apache Kafka on free ports until killed
#[derive(Debug, Parser)]
struct Args {
    /// 3.9.1 or 4.1.0
    #[arg(long, default_value = "4.1.0")]
    version: Version,
    /// 1 or 3
    #[arg(long, default_value_t = 1)]
    brokers: usize,
    /// Also listen with SASL_SSL
    #[arg(long)]
    sasl: bool,
    /// A line of server.properties
    #[arg(short = 'X', value_name = "K=V", value_parser = property)]
    properties: Vec<(String, String)>,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn main() -> Result<()> {
    let args = Args::parse();
    let security = if args.sasl { Security::SaslSsl } else { Security::Open };
    let kafka = Kafka::start(&Options {
        version: args.version,
        brokers: args.brokers,
        security,
        properties: args.properties,
    })?;
    let mut line = serde_json::json!({
        "bootstrap": kafka.bootstrap(),
        "version": args.version.number(),
        "pids": kafka.process_ids(),
    });
    if let (Some(secure), Some(files)) = (kafka.secure_bootstrap(), kafka.certificates()) {
        line["sasl_ssl"] = serde_json::json!({
            "bootstrap": secure, "user": SASL_USER, "password": SASL_PASSWORD,
            "authority": files.authority(),
        });
    }
    println!("{line}");
    // A signal ends this process; the brokers' watchdogs do the rest.
    let (_keep, never) = mpsc::channel::<()>();
    never.recv().ok();
    Ok(())
}
