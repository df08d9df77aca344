//! The report as one page: nothing is loaded, nothing runs.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Report;
use super::plot::{Line, Plot, escape};
use crate::load::outcome::thousandths;
use crate::load::scenario::stage::number;

const PAGE: &str = include_str!("page.html");

impl Report {
    /// One page with plots, which needs nothing but itself.
    pub fn html(&self) -> String {
        let title = format!("muster load {}", self.scenario);
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        let facts = self.facts.iter();
        let facts = facts.map(|fact| vec![fact.name.clone(), fact.shown()]);
        let left_behind = match self.left_behind.join("; ") {
            none if none.is_empty() => none,
            left => format!("<h2>Left behind</h2><p>{}</p>", escape(&left)),
        };
        fill(&[
            ("title", escape(&title)),
            ("seconds", format!("{:.0}", self.seconds)),
            ("targets", escape(&self.targets.join(", "))),
            ("ended_at", self.ended_at.clone()),
            ("seed", self.seed.to_string()),
            ("muster", self.muster.to_owned()),
            ("warm_up", format!("{:.0}", self.warm_up_seconds)),
            ("settings", table(&["setting", "value"], settings)),
            ("facts", section("Results", &["", "value"], facts)),
            ("operations", operations(self)),
            ("costs", costs(self)),
            ("plots", plots(self)),
            ("left_behind", left_behind),
        ])
    }
}

/// The page with each `{{name}}` replaced. What is put in is not looked at again.
fn fill(values: &[(&str, String)]) -> String {
    let mut page = String::new();
    for (at, part) in PAGE.split("{{").enumerate() {
        let text = match part.split_once("}}") {
            Some((name, text)) if at > 0 => {
                let value = values.iter().find(|(known, _)| *known == name);
                page += value.map_or("", |(_, value)| value);
                text
            }
            _ => part,
        };
        page += text;
    }
    page
}

fn operations(report: &Report) -> String {
    let rows = report.operations.iter().map(|(name, of)| {
        let ms = |us: u64| format!("{} ms", thousandths(us));
        let errors = of.errors.iter();
        let errors: Vec<_> = errors
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        let mut row = vec![
            (*name).to_owned(),
            of.count.to_string(),
            format!("{:.0}", of.per_second),
        ];
        row.extend([of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.max_us].map(ms));
        row.push(match errors.is_empty() {
            true => "none".into(),
            false => errors.join(", "),
        });
        row
    });
    let head = [
        "", "count", "a second", "p50", "p90", "p99", "p99.9", "most", "errors",
    ];
    section("Operations", &head, rows)
}

fn costs(report: &Report) -> String {
    let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
    let rows = report.costs.iter().map(|cost| {
        vec![
            cost.of.clone(),
            format!("{:.2} s", cost.cpu_seconds),
            mib(cost.resident_bytes_before),
            mib(cost.resident_bytes_after),
            mib(cost.resident_bytes_most),
        ]
    });
    let head = ["", "CPU", "resident before", "after", "at most"];
    section("Cost", &head, rows)
}

/// A table with its heading; nothing where there are no rows.
fn section(title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut rows = rows.peekable();
    match rows.peek() {
        None => String::new(),
        Some(_) => format!("<h2>{title}</h2>{}", table(head, rows)),
    }
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = String::from("<table><tr>");
    let class = |n: usize| if n == 0 { "" } else { " class=\"n\"" };
    for (n, word) in head.iter().enumerate() {
        let _ = write!(table, "<th{}>{}</th>", class(n), escape(word));
    }
    for row in rows {
        table += "</tr><tr>";
        for (n, cell) in row.into_iter().enumerate() {
            let _ = write!(table, "<td{}>{}</td>", class(n), escape(&cell));
        }
    }
    table + "</tr></table>"
}

fn plots(report: &Report) -> String {
    let marks: Vec<_> = report
        .marks
        .iter()
        .map(|m| (m.at, m.what.clone()))
        .collect();
    let names: BTreeSet<_> = report
        .points
        .iter()
        .flat_map(|p| p.operations.keys())
        .collect();
    let line = |name: &str, value: &dyn Fn(usize) -> Option<f64>| Line {
        name: name.to_owned(),
        points: (0..report.points.len())
            .filter_map(|n| Some((report.points[n].at, value(n)?)))
            .collect(),
    };
    let mut latency = Vec::new();
    let mut rates = Vec::new();
    for name in names {
        let of = |n: usize| {
            report.points[n]
                .operations
                .get(name)
                .filter(|of| of.count > 0)
        };
        let p50 = |n: usize| Some(to_ms(of(n)?.p50_us));
        let p99 = |n: usize| Some(to_ms(of(n)?.p99_us));
        latency.push(line(&format!("{name}, p50"), &p50));
        latency.push(line(&format!("{name}, p99"), &p99));
        let rate = |n: usize| {
            let since = n
                .checked_sub(1)
                .map_or(0.0, |before| report.points[before].at);
            let span = report.points[n].at - since;
            let count = report.points[n].operations.get(name)?.count;
            (span > 0.0).then(|| to_f64(count) / span)
        };
        rates.push(line(name, &rate));
    }
    let percentiles = report.operations.iter().map(|(name, of)| Line {
        name: (*name).to_owned(),
        points: of
            .percentiles
            .iter()
            .map(|(share, us)| (share * 100.0, to_ms(*us)))
            .collect(),
    });
    let sessions = line("sessions", &|n| {
        Some(to_f64(report.points[n].sessions.max(0).unsigned_abs()))
    });
    let any_session = sessions.points.iter().any(|(_, y)| *y > 0.0);
    let plot = |title, x, y, lines, marks| {
        Plot {
            title,
            x,
            y,
            lines,
            marks,
        }
        .figure()
    };
    let mut all = String::new();
    if let Some(curve) = &report.curve {
        let points = curve.points.iter().map(|(ms, count)| (*ms, to_f64(*count)));
        let points = std::iter::once((0.0, 0.0)).chain(points).collect();
        let name = curve.of.to_owned();
        all += &plot(
            "After the cut",
            "ms",
            curve.of,
            vec![Line { name, points }],
            Vec::new(),
        );
    }
    if any_session {
        all += &plot("Sessions", "s", "live", vec![sessions], marks.clone());
    }
    all += &plot("Operations a second", "s", "a second", rates, marks.clone());
    all += &plot("Latency", "s", "ms", latency, marks);
    all + &plot("Percentiles", "%", "ms", percentiles.collect(), Vec::new())
}

fn to_f64(count: u64) -> f64 {
    number(count)
}

fn to_ms(us: u64) -> f64 {
    to_f64(us) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::{Fact, Mark};
    use super::*;
    use crate::load::measure::Recorder;

    #[tokio::test]
    async fn the_page_needs_nothing_but_itself() {
        let recorder = Recorder::new(std::time::Duration::ZERO);
        for _ in 0..3 {
            let since = tokio::time::Instant::now();
            recorder.done("join", since, Ok::<_, String>(()));
            recorder.session(1);
            recorder.tick();
        }
        let (operations, points) = recorder.finish();
        let report = Report {
            muster: "0",
            scenario: "storm",
            settings: [("cut", "<script>alert(1)</script>".to_owned())].into(),
            targets: vec!["127.0.0.1:1".into()],
            seed: 7,
            ended_at: String::new(),
            seconds: 3.0,
            warm_up_seconds: 0.0,
            facts: vec![Fact::new("last end", 1.5, "ms")],
            operations,
            costs: Vec::new(),
            marks: vec![Mark {
                at: 1.0,
                what: "cut".into(),
            }],
            curve: None,
            points,
            left_behind: Vec::new(),
        };
        let page = report.html();
        assert!(page.contains("1.50 ms") && page.contains("<polyline"));
        for outside in ["<script", "http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
