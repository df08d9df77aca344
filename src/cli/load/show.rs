//! What `muster load` shows: a line that lives while it runs, tables at the end.

use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::output::{clean, table};
use crate::load::{Point, Progress, Report, Watcher, thousandths};

/// The line on stderr; nothing where no terminal is.
pub(super) struct Watch {
    bar: ProgressBar,
}

impl Watch {
    pub fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {elapsed_precise} {prefix}  {msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(120));
        Self { bar }
    }

    pub fn watcher(&self) -> Watcher {
        let bar = self.bar.clone();
        Arc::new(move |progress| match progress {
            Progress::Phase(phase) => bar.set_prefix(phase),
            Progress::Second(point) => bar.set_message(line(&point)),
        })
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn line(point: &Point) -> String {
    let mut words = Vec::new();
    if point.sessions > 0 {
        words.push(format!("{} sessions", point.sessions));
    }
    for (name, of) in &point.operations {
        if of.count > 0 {
            let p99 = thousandths(of.p99_us);
            words.push(format!("{name} {} p99 {p99} ms", of.count));
        }
    }
    words.join(", ")
}

/// The result for people.
pub(super) fn tables(report: &Report) -> String {
    let mut parts = Vec::new();
    if !report.facts.is_empty() {
        let rows = report.facts.iter();
        let rows = rows.map(|fact| vec![clean(&fact.name), fact.shown()]);
        parts.push(table(&["WHAT", "VALUE"], rows.collect(), &[]));
    }
    if !report.operations.is_empty() {
        let rows = report.operations.iter().map(|(name, of)| {
            let mut row = vec![
                (*name).to_owned(),
                of.count.to_string(),
                format!("{:.0}", of.per_second),
            ];
            row.extend([of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.max_us].map(thousandths));
            row.push(of.errors.values().sum::<u64>().to_string());
            row
        });
        let head = [
            "OPERATION",
            "COUNT",
            "A SECOND",
            "P50 MS",
            "P90 MS",
            "P99 MS",
            "P99.9 MS",
            "MOST MS",
            "ERRORS",
        ];
        parts.push(table(&head, rows.collect(), &[]));
    }
    let errors = report.operations.iter().flat_map(|(name, of)| {
        let errors = of.errors.iter();
        errors.map(|(what, count)| vec![(*name).to_owned(), clean(what), count.to_string()])
    });
    let errors: Vec<_> = errors.collect();
    if !errors.is_empty() {
        parts.push(table(&["FAILED", "WHY", "TIMES"], errors, &[]));
    }
    let costs = report.costs.iter().map(|cost| {
        let mib = |bytes: u64| (bytes >> 20).to_string();
        vec![
            cost.of.clone(),
            format!("{:.2}", cost.cpu_seconds),
            mib(cost.resident_bytes_before),
            mib(cost.resident_bytes_after),
            mib(cost.resident_bytes_most),
        ]
    });
    let head = ["COST OF", "CPU S", "MIB BEFORE", "MIB AFTER", "MIB MOST"];
    parts.push(table(&head, costs.collect(), &[]));
    parts.join("\n")
}
