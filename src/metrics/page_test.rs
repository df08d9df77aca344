//! `docs/metrics.md` names every metric.

use std::fmt::Write as _;

use super::registry::ALL;

const HEAD: &str = include_str!("page_head.md");

#[test]
fn metrics_page_is_current() {
    let mut page = HEAD.to_owned();
    page.push_str("\n## All metrics\n\n| Metric | Type | Meaning |\n| --- | --- | --- |\n");
    for (name, kind, help) in ALL {
        let unit = if kind.ends_with("seconds") {
            "_seconds"
        } else {
            ""
        };
        let total = if kind.contains("Counter") {
            "_total"
        } else {
            ""
        };
        writeln!(
            page,
            "| `muster_{name}{unit}{total}` | {} | {help} |",
            word(kind)
        )
        .unwrap();
    }
    crate::files::page_is_current("docs/metrics.md", &page);
}

fn word(kind: &str) -> &'static str {
    match kind {
        kind if kind.contains("Counter") => "counter",
        kind if kind.contains("Gauge") => "gauge",
        _ => "histogram",
    }
}
