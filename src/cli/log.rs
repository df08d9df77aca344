//! The log of `muster serve`, on standard error: stdout is for what the command itself
//! has to say.
//!
//! Invariant: a log that can't be written costs lines, which are counted, and nothing
//! else: no task waits for its reader, none panics over it.

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::metrics::faults;
use crate::server::config::{Log, LogFormat};

/// Lines that wait for a slow reader; more are lost.
const LINES_WAITING: usize = 16_384;

/// Changes what is logged.
pub(super) type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// Begins the log. What waits is written when the guard is dropped.
pub(super) fn start(log: &Log) -> Result<(WorkerGuard, SetFilter), CliError> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| CliError::Usage(format!("log: {:?}: {error}", log.filter)))?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_WAITING)
        .finish(StandardError { lost: 0 });
    let dropped = writer.error_counter();
    faults::watch_dropped_lines(move || dropped.dropped_lines() as u64);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would print to standard error again, and panic where that is gone.
        .log_internal_errors(false)
        .with_writer(writer);
    // Each format is a type of its own.
    macro_rules! start {
        ($builder:expr) => {{
            let builder = $builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let started = builder.try_init();
            started.map_err(|error| CliError::Runtime(io::Error::other(error)))?;
            Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))
        }};
    }
    let set_filter: SetFilter = match log.format {
        LogFormat::Json => start!(builder.json().flatten_event(true)),
        LogFormat::Text => start!(builder.with_ansi(wants_colour())),
    };
    std::panic::set_hook(Box::new(|panic| {
        faults::panicked();
        tracing::error!(%panic, "a task panicked; this is a fault of muster");
    }));
    Ok((guard, set_filter))
}

fn wants_colour() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Standard error, whose reader may go away and come back.
struct StandardError {
    lost: u64,
}

impl Write for StandardError {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match io::stderr().write_all(line) {
            Ok(()) if self.lost > 0 => {
                let lines = std::mem::take(&mut self.lost);
                tracing::warn!(lines, "lines of the log could not be written and are lost");
            }
            Ok(()) => {}
            Err(_) => {
                self.lost += 1;
                faults::log_line_lost();
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether this command line, or its environment, asks for a log in JSON: also what
/// goes wrong before the log begins is told in it then.
pub(super) fn is_json() -> bool {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    if !words.iter().any(|word| word == "serve") {
        return false;
    }
    let flag =
        words
            .iter()
            .enumerate()
            .find_map(|(at, word)| match word.strip_prefix("--log-format=") {
                Some(value) => Some(value.to_owned()),
                None if word == "--log-format" => words.get(at + 1).map(|next| next.to_string()),
                None => None,
            });
    let given = flag.or_else(|| std::env::var("MUSTER_LOG_FORMAT").ok());
    given.as_deref() == Some("json")
}

/// An error as a line of such a log.
pub(super) fn json_error(text: &str) -> String {
    let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
    serde_json::json!({
        "timestamp": timestamp,
        "level": "ERROR",
        "message": text,
        "target": "muster",
    })
    .to_string()
}
