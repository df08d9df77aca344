//! `muster store check`.
//!
//! Must not know: what is inconsistent, and why.

use serde::Serialize;

use super::offline::{place, progress};
use crate::cli::error::CliError;
use crate::cli::output::{Console, cell, clean, plural, table};
use crate::server::config::Config;
use crate::server::maintenance::{Counts, Finding, Report, check};

/// A report for programs.
#[derive(Debug, Serialize)]
struct ReportJson<'a> {
    sound: bool,
    keys: u64,
    changes: u64,
    tokens: u64,
    agents: u64,
    registrations: u64,
    events: u64,
    audit: u64,
    findings: Vec<FindingJson<'a>>,
    left_out: u64,
}

#[derive(Debug, Serialize)]
struct FindingJson<'a> {
    kind: &'a str,
    subject: &'a str,
    detail: &'a str,
    meaning: &'a str,
    cure: &'a str,
}

pub(super) async fn run(config: &Config, console: &mut Console) -> Result<(), CliError> {
    let report = check(config, &mut progress(console, "Read")).await;
    console.end_progress();
    let report = report?;
    if console.json_wanted() {
        console.print_json(&json(&report))?;
    } else {
        console.print(&in_words(&report, &place(config)))?;
    }
    if report.findings.is_empty() {
        Ok(())
    } else {
        Err(CliError::Found)
    }
}

fn in_words(report: &Report, at: &str) -> String {
    let Counts {
        keys,
        changes,
        tokens,
        agents,
        registrations,
        events,
        audit,
    } = report.counts;
    let read = [
        plural(keys, "key"),
        plural(changes, "change"),
        plural(tokens, "token"),
        plural(agents, "agent"),
        plural(registrations, "registration"),
        plural(events, "event"),
        plural(audit, "audit record"),
    ];
    let read = format!("{at}: read {}.\n", read.join(", "));
    if report.findings.is_empty() {
        return read + "The store is sound.\n";
    }
    let rows = report.findings.iter().map(|finding| {
        vec![
            finding.kind.as_str().to_owned(),
            cell(&finding.subject),
            clean(&finding.detail),
        ]
    });
    let mut text = read + "\n" + &table(&["KIND", "SUBJECT", "DETAIL"], rows.collect(), &[]);
    if report.left_out > 0 {
        text += &format!("and {} more\n", report.left_out);
    }
    let mut kinds: Vec<_> = report.findings.iter().map(|finding| finding.kind).collect();
    kinds.dedup();
    for kind in kinds {
        let (word, meaning, cure) = (kind.as_str(), kind.meaning(), kind.cure());
        text += &format!("\n{word}: {meaning} {cure}\n");
    }
    text
}

fn json(report: &Report) -> ReportJson<'_> {
    let counts = report.counts;
    ReportJson {
        sound: report.findings.is_empty(),
        keys: counts.keys,
        changes: counts.changes,
        tokens: counts.tokens,
        agents: counts.agents,
        registrations: counts.registrations,
        events: counts.events,
        audit: counts.audit,
        findings: report.findings.iter().map(finding).collect(),
        left_out: report.left_out,
    }
}

fn finding(finding: &Finding) -> FindingJson<'_> {
    FindingJson {
        kind: finding.kind.as_str(),
        subject: &finding.subject,
        detail: &finding.detail,
        meaning: finding.kind.meaning(),
        cure: finding.kind.cure(),
    }
}
