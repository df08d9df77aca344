//! What is printed, and how: tables for people, JSON for programs.
//!
//! Invariants: text that came from elsewhere passes [`clean`] (JSON:
//! [`harmless_json`]) before it reaches a terminal (an agent's user agent must
//! not move the cursor); colours are dropped by anstream where they don't belong
//! (no terminal, `NO_COLOR`).

use std::io::{self, BufRead, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

pub(super) use crate::control::agent_config::quote::clean;

use super::error::CliError;
use crate::control::agent_config::quote::is_obeyed;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Table,
    Json,
}

/// Where a command prints and asks; the process's own streams, or a test's.
pub(super) struct Console {
    format: Format,
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    /// Stderr is a terminal.
    live: bool,
    /// Reads one line of an answer; `None`: there is no terminal.
    answer: Option<Box<dyn FnMut() -> io::Result<String>>>,
}

impl Console {
    /// The process's streams.
    pub fn of_process(format: Format) -> Self {
        let read_line = || {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            Ok(line)
        };
        Self {
            format,
            out: Box::new(anstream::stdout()),
            err: Box::new(anstream::stderr()),
            live: io::stderr().is_terminal(),
            answer: io::stdin()
                .is_terminal()
                .then(|| Box::new(read_line) as Box<dyn FnMut() -> io::Result<String>>),
        }
    }

    #[cfg(test)]
    pub fn of_test(
        format: Format,
        out: Box<dyn Write>,
        err: Box<dyn Write>,
        answer: Option<&'static str>,
    ) -> Self {
        Self {
            format,
            out,
            err,
            live: false,
            answer: answer.map(|line| {
                Box::new(move || Ok(line.to_owned())) as Box<dyn FnMut() -> io::Result<String>>
            }),
        }
    }

    /// Results are wanted as JSON.
    pub fn json_wanted(&self) -> bool {
        self.format == Format::Json
    }

    /// There is a terminal to ask at.
    pub fn can_ask(&self) -> bool {
        self.answer.is_some()
    }

    /// Refuses to go on with a revoke when it has to be asked about and there is no
    /// terminal.
    pub fn check_sure(&self, yes: bool) -> Result<(), CliError> {
        self.check_sure_of(
            yes,
            "a revoke can't be undone, and there is no terminal to ask on; if you are sure, say \
             --yes. Nothing was revoked",
        )
    }

    /// The same for something else; `refusal` says what.
    pub fn check_sure_of(&self, yes: bool, refusal: &str) -> Result<(), CliError> {
        if yes || self.can_ask() {
            return Ok(());
        }
        Err(CliError::Usage(refusal.to_owned()))
    }

    /// Writes a result to stdout as it is.
    pub fn print(&mut self, text: &str) -> Result<(), CliError> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(CliError::Output)
    }

    /// Writes a result to stdout as JSON.
    pub fn print_json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        self.print_serialized(serde_json::to_string_pretty(value))
    }

    /// Writes a result to stdout as one line of JSON: for results without end.
    pub fn print_json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        self.print_serialized(serde_json::to_string(value))
    }

    fn print_serialized(&mut self, json: serde_json::Result<String>) -> Result<(), CliError> {
        let json = json.map_err(|error| CliError::Output(io::Error::other(error)))?;
        self.print(&(harmless_json(&json) + "\n"))
    }

    /// Writes a line to stderr. There is nowhere to report that this failed.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
        let _ = self.err.flush();
    }

    /// Shows how far something is: on a terminal alone, each time in the place of
    /// the last.
    pub fn progress(&mut self, text: &str) {
        if self.live {
            let _ = write!(self.err, "\r{text}\x1b[K");
            let _ = self.err.flush();
        }
    }

    /// Takes it away.
    pub fn end_progress(&mut self) {
        self.progress("");
    }

    /// Asks on stderr; true for `y` and `yes`, false for all else, also when
    /// nobody can be asked.
    pub fn confirm(&mut self, question: &str) -> bool {
        let _ = write!(self.err, "{question} [y/N] ");
        let _ = self.err.flush();
        let answer = self.answer.as_mut().map(|read| read());
        match answer {
            Some(Ok(line)) => matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
            Some(Err(_)) | None => false,
        }
    }
}

/// A table without borders: header, rows, and for each row how its second
/// column is coloured. The first column has no spaces in it.
pub(super) fn table(header: &[&str], rows: Vec<Vec<String>>, second: &[Style]) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for (at, line) in table.trim_fmt().lines().enumerate() {
        // Coloured after the layout, which would count the codes as text.
        let style = at.checked_sub(1).and_then(|row| second.get(row));
        match style.and_then(|style| paint_second(line, *style)) {
            Some(painted) => text.push_str(&painted),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

fn paint_second(line: &str, style: Style) -> Option<String> {
    let (first, rest) = line.split_once("  ")?;
    let word = rest.trim_start();
    let gap = &rest[..rest.len() - word.len()];
    let (word, tail) = word.split_once("  ").unwrap_or((word, ""));
    let space = if tail.is_empty() { "" } else { "  " };
    Some(format!("{first}  {gap}{style}{word}{style:#}{space}{tail}"))
}

/// Green, yellow, red: fine, over, refused.
pub(super) fn status_style(status: &str) -> Style {
    let colour = match status {
        "valid" | "connected" | "online" => AnsiColor::Green,
        "expired" | "unavailable" => AnsiColor::Yellow,
        "revoked" | "offline" => AnsiColor::Red,
        _ => return Style::new(),
    };
    colour.on_default()
}

/// Longest cell of a table, in characters.
const CELL: usize = 48;

/// A cell of text from elsewhere: cleaned and bounded.
pub(super) fn cell(text: &str) -> String {
    let clean = clean(text);
    if clean.chars().count() <= CELL {
        return clean;
    }
    clean.chars().take(CELL - 1).chain(['…']).collect()
}

/// JSON with the characters escaped that [`clean`] escapes: by itself JSON
/// escapes only the first 32. Outside of strings there is none of them.
fn harmless_json(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_obeyed(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                harmless += &format!("\\u{unit:04x}");
            }
        } else {
            harmless.push(c);
        }
    }
    harmless
}

/// `1 session`, `2 sessions`.
pub(super) fn plural(count: u64, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}

/// `key_… "name"`.
pub(in crate::cli) fn title(object_id: &str, name: &str) -> String {
    if name.is_empty() {
        clean(object_id)
    } else {
        format!("{} \"{}\"", clean(object_id), clean(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_coloured_in_their_second_column() {
        let rows = vec![
            vec!["key_1".into(), "valid".into(), "a valid name".into()],
            vec!["key_valid".into(), "revoked".into(), "日本".into()],
        ];
        let styles = [status_style("valid"), status_style("revoked")];
        let text = table(&["ID", "STATUS", "NAME"], rows.clone(), &styles);
        assert_eq!(
            anstream::adapter::strip_str(&text).to_string(),
            "ID         STATUS   NAME\n\
             key_1      valid    a valid name\n\
             key_valid  revoked  日本\n"
        );
        assert!(
            text.contains("\u{1b}[32mvalid\u{1b}[0m    a valid name"),
            "{text:?}"
        );
        assert!(
            text.contains("key_valid  \u{1b}[31mrevoked\u{1b}[0m"),
            "{text:?}"
        );
        assert!(!table(&["ID", "STATUS", "NAME"], rows, &[]).contains('\u{1b}'));
    }

    #[test]
    fn text_from_elsewhere_cannot_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(clean("\u{202e}evil\u{9b}"), "\\u{202e}evil\\u{9b}");
        assert_eq!(clean("Zürich 日本 🦀"), "Zürich 日本 🦀");
        let words = "a\u{1b}[2J\n\u{7f}\u{9b}\u{202e}\u{e0041}日本\\";
        let json = harmless_json(&serde_json::to_string_pretty(&[words]).unwrap());
        let inner = r#""a\u001b[2J\n\u007f\u009b\u202e\udb40\udc41日本\\""#;
        assert_eq!(json, format!("[\n  {inner}\n]"));
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [words]);
        let long = cell(&"x".repeat(500));
        assert_eq!(long.chars().count(), CELL);
        assert!(long.ends_with('…'));
    }
}
