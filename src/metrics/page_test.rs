//! `docs/metrics.md` names every metric: those of the table, and those that
//! `/metrics` prints besides.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::registry::{ALL, Metrics};
use crate::keys::{Epoch, KeyId};

const HEAD: &str = include_str!("page_head.md");

/// A metric's row: type, label, meaning.
type Row = (String, String, String);

#[test]
fn metrics_page_is_current() {
    let mut rows = of_the_table();
    for (name, row) in of_a_scrape() {
        rows.entry(name).or_insert(row);
    }
    let mut page = HEAD.to_owned();
    page.push_str(
        "\n## All metrics\n\n| Metric | Type | Label | Meaning |\n| --- | --- | --- | --- |\n",
    );
    for (name, (kind, label, help)) in rows {
        writeln!(page, "| `{name}` | {kind} | {label} | {help} |").unwrap();
    }
    crate::files::page_is_current("docs/metrics.md", &page);
}

fn of_the_table() -> BTreeMap<String, Row> {
    let rows = ALL.iter().map(|(name, kind, help)| {
        let (word, end) = match kind {
            kind if kind.contains("Counter") => ("counter", "_total"),
            kind if kind.contains("Gauge") => ("gauge", ""),
            _ => ("histogram", "_seconds"),
        };
        let labels = [
            ("Reason", "`reason`"),
            ("Setting", "`setting`"),
            ("Signal", "`signal`"),
        ];
        let label = labels.iter().find(|(of, _)| kind.contains(of));
        let label = label.map_or("", |(_, label)| label);
        let row = (word.to_owned(), label.to_owned(), (*help).to_owned());
        (format!("muster_{name}{end}"), row)
    });
    rows.collect()
}

fn of_a_scrape() -> BTreeMap<String, Row> {
    let metrics = Metrics::new();
    let key: KeyId = "key_0123456789ABCDEF".parse().unwrap();
    metrics.watch_expiry(move || vec![(key, 1.0)]);
    metrics.watch_certificates(|| vec![("ca".to_owned(), 1.0)]);
    metrics.watch_view(|| (1.0, Epoch(1)));
    let text = metrics.encode().unwrap();
    let about = |word: &str| -> BTreeMap<&str, &str> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(word));
        lines.filter_map(|line| line.split_once(' ')).collect()
    };
    let (kinds, helps) = (about("# TYPE "), about("# HELP "));
    assert!(kinds.contains_key("process_cpu_seconds"), "{text}");
    let rows = kinds.into_iter().map(|(name, kind)| {
        let total = if kind == "counter" { "_total" } else { "" };
        let sample = format!("{name}{{");
        let labels = text.lines().find_map(|line| line.strip_prefix(&sample));
        let label = labels.and_then(|labels| labels.split_once('='));
        let label = label.map_or(String::new(), |(label, _)| format!("`{label}`"));
        let help = helps[name].trim_end_matches('.').to_owned();
        (format!("{name}{total}"), (kind.to_owned(), label, help))
    });
    rows.collect()
}
