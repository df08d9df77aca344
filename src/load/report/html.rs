//! The report as one page: nothing is loaded, nothing runs.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::Report;
use super::plot::{Line, Plot, escape};
use crate::load::outcome::thousandths;
use crate::load::scenario::stage::number;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}\
td.n,th.n{text-align:right}\
figure{margin:1.5rem 0}figcaption{font-weight:600}\
svg text{font-size:11px;fill:currentColor}.grid{stroke:#8884}.mark{stroke:#c43b3b;stroke-dasharray:4 3}\
.legend span{margin-right:1.2rem}.legend svg{width:10px;height:10px}";

impl Report {
    /// One page with plots, which needs nothing but itself.
    pub fn html(&self) -> String {
        let report = self;
        let title = format!("muster load {}", report.scenario);
        let mut page = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{0}</title><style>{STYLE}</style><h1>{0}</h1>\
         <p>{1:.0} s against {2}, ended {3}; seed {4}, muster {5}. \
         The first {6:.0} s count for nothing.</p>",
            escape(&title),
            report.seconds,
            escape(&report.targets.join(", ")),
            report.ended_at,
            report.seed,
            report.muster,
            report.warm_up_seconds,
        );
        let rows = |rows: Vec<Vec<String>>, head: &[&str]| table(head, &rows);
        let settings = report.settings.iter();
        page += &rows(
            settings
                .map(|(name, value)| vec![(*name).to_owned(), value.clone()])
                .collect(),
            &["setting", "value"],
        );
        if !report.facts.is_empty() {
            page += "<h2>What it is about</h2>";
            let facts = report.facts.iter();
            page += &rows(
                facts
                    .map(|fact| vec![fact.name.clone(), fact.shown()])
                    .collect(),
                &["", "value"],
            );
        }
        if !report.operations.is_empty() {
            page += "<h2>Operations</h2>";
            let operations = report.operations.iter().map(|(name, of)| {
                let ms = |us: u64| format!("{} ms", thousandths(us));
                let errors = of
                    .errors
                    .iter()
                    .map(|(what, count)| format!("{count} {what}"));
                let errors: Vec<_> = errors.collect();
                let errors = if errors.is_empty() {
                    "none".into()
                } else {
                    errors.join(", ")
                };
                let mut row = vec![
                    (*name).to_owned(),
                    of.count.to_string(),
                    format!("{:.0}", of.per_second),
                ];
                row.extend([of.p50_us, of.p90_us, of.p99_us, of.p999_us, of.max_us].map(ms));
                row.push(errors);
                row
            });
            let head = [
                "", "count", "a second", "p50", "p90", "p99", "p99.9", "most", "errors",
            ];
            page += &rows(operations.collect(), &head);
        }
        page += "<h2>What it cost</h2>";
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let costs = report.costs.iter().map(|cost| {
            let resident = [
                cost.resident_bytes_before,
                cost.resident_bytes_after,
                cost.resident_bytes_most,
            ];
            let mut row = vec![cost.of.clone(), format!("{:.2} s", cost.cpu_seconds)];
            row.extend(resident.map(mib));
            row
        });
        page += &rows(
            costs.collect(),
            &["", "CPU", "resident before", "after", "at most"],
        );
        page += &plots(report);
        if !report.left_behind.is_empty() {
            let _ = write!(
                page,
                "<h2>Left behind</h2><p>{}</p>",
                escape(&report.left_behind.join("; "))
            );
        }
        page + "</html>\n"
    }
}

fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = String::from("<table><tr>");
    let class = |n: usize| if n == 0 { "" } else { " class=\"n\"" };
    for (n, word) in head.iter().enumerate() {
        let _ = write!(table, "<th{}>{}</th>", class(n), escape(word));
    }
    for row in rows {
        table += "</tr><tr>";
        for (n, cell) in row.iter().enumerate() {
            let _ = write!(table, "<td{}>{}</td>", class(n), escape(cell));
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
    let mut all = String::from("<h2>Over time</h2>");
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
