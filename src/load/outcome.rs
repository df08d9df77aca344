//! What a scenario hands in.

use serde::Serialize;

/// A number that a scenario is about.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    pub name: String,
    pub value: f64,
    /// Its unit; empty: a count.
    pub unit: &'static str,
}

impl Fact {
    /// A number of that name and unit.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            value,
            unit,
        }
    }
}

impl Fact {
    /// Number and unit, with as many digits as mean something.
    pub fn shown(&self) -> String {
        let digits = match self.value.abs() {
            value if value.fract() == 0.0 || value >= 1000.0 => 0,
            value if value >= 100.0 => 1,
            value if value >= 1.0 => 2,
            _ => 3,
        };
        format!("{:.digits$} {}", self.value, self.unit)
            .trim_end()
            .to_owned()
    }
}

/// Thousandths as a number with its point.
pub fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1000, number % 1000)
}

/// A moment worth a line in a plot.
#[derive(Debug, Clone, Serialize)]
pub struct Mark {
    /// Seconds since the begin.
    pub at: f64,
    pub what: String,
}

/// Each session's end after a cut, for the plot of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Curve {
    pub of: &'static str,
    /// (milliseconds since the cut, how many by then).
    pub points: Vec<(f64, u64)>,
}

/// What a scenario hands in.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub facts: Vec<Fact>,
    pub marks: Vec<Mark>,
    pub curve: Option<Curve>,
}
