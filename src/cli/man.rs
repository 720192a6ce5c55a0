//! The man page: one page for all commands, generated from their definitions.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::{Cli, VARIABLES};

/// The man page, as `docs/starsink.1` holds it.
pub fn man() -> io::Result<Vec<u8>> {
    let command = Cli::command();
    let page = Man::new(command.clone()).date("").manual("starsink");
    let mut text = vec![];
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    text.extend(notes(&command));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        text.extend(subcommand(sub)?);
    }
    text.extend(b".SH ENVIRONMENT\n");
    for (name, meaning) in VARIABLES {
        text.extend(format!(".TP\n\\fB{name}\\fR\n{}\n", escaped(meaning)).bytes());
    }
    Ok(text)
}

fn subcommand(sub: &Command) -> io::Result<Vec<u8>> {
    let name = sub.get_name();
    let mut options = vec![];
    Man::new(sub.clone()).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options)
        .replace(".SH OPTIONS", ".SS Arguments")
        .replace(".SH ", ".SS ");
    let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
    let head = format!(
        ".SH \"{}\"\n.B starsink {name}\n[\\fIOPTIONS\\fR] [\\fICONFIG\\fR]...\n.PP\n{}.\n",
        name.to_uppercase(),
        escaped(&about)
    );
    Ok([head.into_bytes(), options.into_bytes(), notes(sub)].concat())
}

/// What stands below the options, line by line as it is.
fn notes(command: &Command) -> Vec<u8> {
    let Some(text) = command.get_after_help() else { return vec![] };
    format!(".PP\n.nf\n{}\n.fi\n", escaped(&text.to_string())).into_bytes()
}

/// Text that roff reads as nothing but text.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
