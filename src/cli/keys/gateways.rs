//! What a revoke did, gateway by gateway, in words and for programs.

use serde::Serialize;

use crate::cli::output::{cell, plural, title};
use crate::cli::time::{absolute, from_wire, now, relative, rfc3339};
use crate::proto::admin::v1::GatewayOutcome;

/// What one gateway did, for programs.
#[derive(Debug, Serialize)]
pub(super) struct GatewayJson {
    gateway_id: String,
    gateway_name: String,
    enrolled: bool,
    applied: bool,
    sessions_closed: u64,
    sessions_closing: u64,
    milliseconds: u64,
    unreachable_since: Option<String>,
    ends_by: Option<String>,
}

impl From<&GatewayOutcome> for GatewayJson {
    fn from(gateway: &GatewayOutcome) -> Self {
        Self {
            gateway_id: gateway.gateway_id.clone(),
            gateway_name: gateway.gateway_name.clone(),
            enrolled: gateway.enrolled,
            applied: gateway.applied,
            sessions_closed: gateway.sessions_closed,
            sessions_closing: gateway.sessions_closing,
            milliseconds: gateway.milliseconds,
            unreachable_since: rfc3339(gateway.unreachable_since.as_ref()),
            ends_by: rfc3339(gateway.ends_by.as_ref()),
        }
    }
}

/// `3 sessions closed`.
pub(super) fn closed(count: u64) -> String {
    format!("{} closed", plural(count, "session"))
}

/// One line for each gateway, indented.
pub(super) fn lines(gateways: &[GatewayOutcome]) -> String {
    gateways.iter().map(line).collect()
}

fn line(gateway: &GatewayOutcome) -> String {
    let who = match gateway.gateway_name.as_str() {
        "" => cell(&gateway.gateway_id),
        name => title(&gateway.gateway_id, name),
    };
    let mut text = format!("  {who}: ");
    if gateway.applied {
        text += &closed(gateway.sessions_closed);
        text += &format!(" in {} ms", gateway.milliseconds);
    } else {
        if let Some(since) = from_wire(gateway.unreachable_since.as_ref()) {
            text += &match since.as_millis() {
                0 => "unreachable, what it said last can't be read; it ".to_owned(),
                _ => format!(
                    "unreachable, last heard of {}; it ",
                    relative(Some(since), now())
                ),
            };
        }
        text += "has not applied it yet and may hold sessions";
        if let Some(by) = from_wire(gateway.ends_by.as_ref()) {
            text += &format!(", which it ends by itself by {}", absolute(Some(by), now()));
        }
    }
    if gateway.sessions_closing > 0 {
        text += &format!("; {} still closing", gateway.sessions_closing);
    }
    if !gateway.enrolled {
        text += "; it has signed off since";
    }
    text.push('\n');
    text
}
