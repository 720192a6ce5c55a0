//! The stand-in as a process: ports and settings by flags, addresses as one line of JSON on
//! stdout, control over HTTP under `/_standin/`. Runs until killed.

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;

use serde_json::json;
use standin::{Builder, Keep, Limits, Standin};

const HELP: &str = "\
standin: a stand-in StarRocks, in memory

usage: standin [--fe PORT]... [--be PORT]... [--query PORT] [--init FILE.sql]... [options]

  --fe PORT, --be PORT   a frontend or backend on this HTTP port; 0 takes any free one;
                         repeat for several (the first frontend leads); one of each if not given
  --query PORT           the MySQL port
  --host IP              address to listen at (127.0.0.1)
  --init FILE.sql        statements to execute at the start
  --version V            2.3, 2.5, 3.2, 3.3, 3.5, 4.0 or 4.1 (3.5)
  --discard              tables only count rows and bytes
  --tally COLUMN         as --discard, and sum an integer column of flat JSON rows
  --label-keep-max-num N, --max-running-txn-num-per-db N, --label-clean-interval-second N

The addresses are printed as one line of JSON. Control: see README.md, `/_standin/`.
";

fn main() -> ExitCode {
    match run(env::args().skip(1)) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(_standin)) => loop {
            thread::park();
        },
        Err(text) => {
            // Nothing is left to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "standin: {text}");
            ExitCode::FAILURE
        }
    }
}

struct Flags {
    builder: Builder,
    fe: Vec<u16>,
    be: Vec<u16>,
    limits: Limits,
    init: Vec<String>,
}

/// Starts what the arguments ask for; `None` after help.
fn run(mut args: impl Iterator<Item = String>) -> Result<Option<Standin>, String> {
    let mut flags = Flags {
        builder: Standin::builder(),
        fe: Vec::new(),
        be: Vec::new(),
        limits: Limits::default(),
        init: Vec::new(),
    };
    while let Some(flag) = args.next() {
        if flag == "--help" || flag == "-h" {
            write!(io::stdout(), "{HELP}").map_err(|e| e.to_string())?;
            return Ok(None);
        }
        flags = set(flags, &flag, &mut args)?;
    }
    let Flags { mut builder, fe, be, limits, init } = flags;
    if !fe.is_empty() {
        builder = builder.fe_ports(&fe);
    }
    if !be.is_empty() {
        builder = builder.be_ports(&be);
    }
    let standin = builder.limits(limits).start().map_err(|e| format!("cannot listen: {e}"))?;
    for file in init {
        let text = std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
        standin.execute(&text).map_err(|e| format!("{file}: {e}"))?;
    }
    let texts = |addrs: Vec<std::net::SocketAddr>| {
        addrs.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let mut line = json!({
        "fe": standin.fe().to_string(),
        "query": standin.query().to_string(),
        "be": texts(standin.bes()),
    });
    if standin.fes().len() > 1 {
        line["fes"] = json!(texts(standin.fes()));
    }
    let mut out = io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|e| e.to_string())?;
    Ok(Some(standin))
}

fn set(
    mut flags: Flags,
    flag: &str,
    args: &mut dyn Iterator<Item = String>,
) -> Result<Flags, String> {
    if flag == "--discard" {
        flags.builder = flags.builder.keep(Keep::Nothing);
        return Ok(flags);
    }
    let value = args.next().ok_or_else(|| format!("{flag} needs a value, or is unknown"))?;
    let port = || value.parse::<u16>().map_err(|_| format!("{flag}: `{value}` is no port"));
    let number = || value.parse::<u64>().map_err(|_| format!("{flag}: `{value}` is no number"));
    let size = || number().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
    match flag {
        "--fe" => flags.fe.push(port()?),
        "--be" => flags.be.push(port()?),
        "--query" => flags.builder = flags.builder.query_port(port()?),
        "--host" => {
            let host = value.parse().map_err(|_| format!("--host: `{value}` is no address"))?;
            flags.builder = flags.builder.host(host);
        }
        "--init" => flags.init.push(value),
        "--version" => {
            let version = value.parse().map_err(|e: standin::UnknownVersion| e.to_string())?;
            flags.builder = flags.builder.version(version);
        }
        "--tally" => flags.builder = flags.builder.keep(Keep::Tally(value)),
        "--label-keep-max-num" => flags.limits.label_keep_max_num = size()?,
        "--max-running-txn-num-per-db" => flags.limits.max_running_txn_num_per_db = size()?,
        "--label-clean-interval-second" => {
            flags.limits.label_clean_interval_second = Some(number()?);
        }
        _ => return Err(format!("unknown flag {flag}; --help lists them")),
    }
    Ok(flags)
}
