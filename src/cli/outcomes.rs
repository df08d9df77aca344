//! What became of each key or token of a command that goes on when one fails.
//!
//! Invariant: what failed is said once, in words; with `-o json` it is a row,
//! too.

use serde::Serialize;

use super::arguments::shown;
use super::error::CliError;
use super::output::Console;

/// The rows of such a command, for programs. `D`: what else is said of a
/// success.
pub(super) struct Outcomes<D> {
    rows: Vec<Row<D>>,
    failures: Failures,
}

#[derive(Serialize)]
struct Row<D> {
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    #[serde(flatten)]
    done: Option<D>,
}

impl<D> Default for Outcomes<D> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            failures: Failures::default(),
        }
    }
}

impl<D: Serialize> Outcomes<D> {
    /// One is done; the outcome is the command's word for it.
    pub fn done(&mut self, object_id: &str, name: &str, outcome: &'static str, done: D) {
        self.rows.push(Row {
            object_id: Some(object_id.to_owned()),
            name: name.to_owned(),
            outcome,
            failure_reason: None,
            done: Some(done),
        });
    }

    /// What was typed names nothing. Ends the command only when there is no
    /// point in going on, as [`Failures::tell`] does.
    pub fn unnamed(
        &mut self,
        console: &mut Console,
        given: &str,
        outcome: &'static str,
        error: CliError,
    ) -> Result<(), CliError> {
        self.row(None, shown(given), outcome, error.to_string());
        self.failures.tell(console, given, error)
    }

    /// One was refused; likewise.
    pub fn refused(
        &mut self,
        console: &mut Console,
        object_id: &str,
        name: &str,
        error: CliError,
    ) -> Result<(), CliError> {
        let id = Some(object_id.to_owned());
        self.row(id, name.to_owned(), "failed", error.to_string());
        self.failures.tell(console, object_id, error)
    }

    /// One was refused, and that has been said.
    pub fn told(&mut self, object_id: String, name: String, outcome: &'static str, why: String) {
        self.row(Some(object_id), name, outcome, why);
        self.failures.some = true;
    }

    fn row(&mut self, id: Option<String>, name: String, outcome: &'static str, why: String) {
        self.rows.push(Row {
            object_id: id,
            name,
            outcome,
            failure_reason: Some(why),
            done: None,
        });
    }

    /// Prints the rows, if they are wanted; success, if nothing failed.
    pub fn end(self, console: &mut Console) -> Result<(), CliError> {
        if console.json_wanted() {
            console.print_json(&self.rows)?;
        }
        self.failures.end()
    }
}

/// Failures of a command that goes on with its other keys or tokens.
#[derive(Default)]
pub(super) struct Failures {
    some: bool,
}

impl Failures {
    /// Says what failed for one of them; ends the command only when there is no
    /// point in going on.
    pub fn tell(
        &mut self,
        console: &mut Console,
        given: &str,
        error: CliError,
    ) -> Result<(), CliError> {
        match error {
            CliError::Refused(text) | CliError::Usage(text) => {
                self.some = true;
                console.note(&format!("error: {}: {text}", shown(given)));
                Ok(())
            }
            other => Err(other),
        }
    }

    /// Success, if nothing failed.
    pub fn end(self) -> Result<(), CliError> {
        if self.some {
            Err(CliError::Told)
        } else {
            Ok(())
        }
    }
}
