//! In a terminal: bars are drawn while a load goes on, and taken away before its summary. The
//! terminal is the one that `script` makes; what it would show in the end is worked out here.

use std::process::{Command, Stdio};

use e2e::child::Guarded;
use e2e::produce::{self, Load};
use e2e::row;
use serde_json::json;

use crate::scene::{SOON, Scene, skip};

const PARTITIONS: u32 = 2;
/// What bars are made of; nothing else that `load` prints has it.
const BAR: char = '━';

#[test]
fn bars_are_drawn_and_leave_only_the_summary_behind() {
    let installed = Command::new("script").arg("--version").stdout(Stdio::null()).status();
    if !installed.is_ok_and(|status| status.success()) {
        return skip("bars in a terminal", "there is no `script` program (package bsdutils)");
    }
    let Some(scene) = Scene::with_standin("bars in a terminal") else { return };
    let topic = scene.topic("bars", PARTITIONS);
    let table = scene.table("bars", &format!("({}) DUPLICATE KEY (id)", row::COLUMNS));
    produce::fast(&scene.bootstrap, &Load::json(&topic, PARTITIONS, 20_000)).expect("produced");
    // Slow enough that there is something to watch.
    let slow = json!({"op": "prepare", "times": 0, "do": "delay", "ms": 1500});
    scene.starrocks.fault(&slow).expect("a fault is set");

    let written = in_a_terminal(&scene, &["load", &scene.job(&[(&topic, &table)]).file()]);
    assert!(written.contains(BAR) && written.contains('%'), "no bar in:\n{written}");
    let left = screen(&written);
    assert!(!left.contains(BAR), "a bar is left on the screen:\n{left}");
    assert!(left.contains(&table), "no summary on the screen:\n{left}");
    assert_eq!(scene.starrocks.count(&table).expect("counted"), 20_000);
}

/// Runs `starsink` in a terminal of 24 by 80; returns all it wrote there.
fn in_a_terminal(scene: &Scene, args: &[&str]) -> String {
    let program = scene.starsink.command();
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let program = program.get_program().to_string_lossy();
    let words = [&[&*program], args].concat();
    let line: Vec<String> = words.into_iter().map(quoted).collect();
    let output = scene.dir.join("terminal");
    let line = format!("stty rows 24 cols 80; exec {}", line.join(" "));
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &line, "/dev/null"]).env("TERM", "xterm-256color");
    // The terminal decides, whatever runs this test.
    script.env_remove("CI").env_remove("NO_COLOR").env_remove("STARSINK_NO_PROGRESS");
    script.stdin(Stdio::null()).stdout(std::fs::File::create(&output).expect("a file"));
    let mut running = Guarded::spawn(&mut script, None).expect("script starts");
    let status = running.wait(SOON).expect("it ends");
    let written = std::fs::read(&output).expect("its output is read");
    let written = String::from_utf8_lossy(&written).into_owned();
    assert!(status.success(), "{status}:\n{written}");
    written
}

/// What a terminal shows after `written`, scrolled-out lines included. Knows the cursor movements
/// and erasures that progress bars are made with, and no line that wraps.
fn screen(written: &str) -> String {
    let mut lines: Vec<Vec<char>> = vec![vec![]];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                let sequence = escape(&mut rest);
                let (number, action) = sequence.split_at(sequence.len().saturating_sub(1));
                let count = number.parse().unwrap_or(1).max(1);
                match action {
                    "A" => row = row.saturating_sub(count),
                    "B" => row += count,
                    "C" => column += count,
                    "D" => column = column.saturating_sub(count),
                    "K" if number == "2" => lines[row].clear(),
                    "K" => lines[row].truncate(column),
                    "J" => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    _ => {}
                }
            }
            _ => {
                let line = &mut lines[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), vec![]);
    }
    let lines: Vec<String> = lines.into_iter().map(String::from_iter).collect();
    lines.join("\n")
}

/// The rest of an escape sequence, up to its final letter, without the opening bracket.
fn escape(rest: &mut std::str::Chars<'_>) -> String {
    let mut sequence = String::new();
    for c in rest.by_ref().skip_while(|&c| c == '[') {
        sequence.push(c);
        if c.is_ascii_alphabetic() {
            break;
        }
    }
    sequence
}
