//! Agents and instances as tables and as JSON. An agent's words are printed
//! escaped and bounded.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cli::output::{cell, clean, status_style, table};
use crate::cli::time::{absolute, from_wire, relative, rfc3339};
use crate::keys::Timestamp;
use crate::proto::admin::v1::{Agent, Instance, InstanceStatus, Registration};

/// An agent for programs.
#[derive(Serialize)]
pub(super) struct AgentJson<'a> {
    agent_id: &'a str,
    key_object_id: &'a str,
    status: &'static str,
    hostname: &'a str,
    os_version: &'a str,
    agent_version: &'a str,
    has_container_host: bool,
    labels: BTreeMap<&'a str, &'a str>,
    first_seen: Option<String>,
    last_seen: Option<String>,
    last_address: &'a str,
    instances_count: u32,
    remark: &'a str,
}

/// An instance for programs: the fields of NGINX One's `Instance`.
#[derive(Serialize)]
pub(super) struct InstanceJson<'a> {
    object_id: &'a str,
    hostname: &'a str,
    system_id: &'a str,
    nginx_id: &'a str,
    agent_version: &'a str,
    key_object_id: &'a str,
    nginx_build: BuildJson<'a>,
    os_version: &'a str,
    registered_at: Option<String>,
    last_reported: Option<String>,
    has_container_host: bool,
    status: &'static str,
}

#[derive(Serialize)]
struct BuildJson<'a> {
    version: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    plus_release: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    conf_path: &'a str,
}

#[derive(Serialize)]
pub(super) struct RegistrationJson<'a> {
    key_object_id: &'a str,
    first_seen: Option<String>,
    last_seen: Option<String>,
    last_address: &'a str,
    joins: u64,
}

/// All of an agent for programs.
#[derive(Serialize)]
pub(super) struct AgentSheetJson<'a> {
    #[serde(flatten)]
    agent: AgentJson<'a>,
    instances: Vec<InstanceJson<'a>>,
    registrations: Vec<RegistrationJson<'a>>,
}

pub(super) fn connection(agent: &Agent) -> &'static str {
    if agent.connected {
        "connected"
    } else {
        "unavailable"
    }
}

fn status(instance: &Instance) -> &'static str {
    match instance.status() {
        InstanceStatus::Unspecified | InstanceStatus::Unknown => "unknown",
        InstanceStatus::Online => "online",
        InstanceStatus::Offline => "offline",
        InstanceStatus::Unavailable => "unavailable",
    }
}

pub(super) fn agent_json(agent: &Agent) -> AgentJson<'_> {
    let labels = agent.labels.iter();
    AgentJson {
        agent_id: &agent.agent_id,
        key_object_id: &agent.key_object_id,
        status: connection(agent),
        hostname: &agent.hostname,
        os_version: &agent.os_version,
        agent_version: &agent.agent_version,
        has_container_host: agent.in_container,
        labels: labels.map(|(n, v)| (n.as_str(), v.as_str())).collect(),
        first_seen: rfc3339(agent.first_seen.as_ref()),
        last_seen: rfc3339(agent.last_seen.as_ref()),
        last_address: &agent.last_address,
        instances_count: agent.instances_count,
        remark: &agent.remark,
    }
}

pub(super) fn instance_json(instance: &Instance) -> InstanceJson<'_> {
    InstanceJson {
        object_id: &instance.object_id,
        hostname: &instance.hostname,
        system_id: &instance.agent_id,
        nginx_id: &instance.nginx_id,
        agent_version: &instance.agent_version,
        key_object_id: &instance.key_object_id,
        nginx_build: BuildJson {
            version: &instance.version,
            plus_release: &instance.plus_release,
            conf_path: &instance.conf_path,
        },
        os_version: &instance.os_version,
        registered_at: rfc3339(instance.registered_at.as_ref()),
        last_reported: rfc3339(instance.last_reported.as_ref()),
        has_container_host: instance.in_container,
        status: status(instance),
    }
}

pub(super) fn agent_sheet_json<'a>(
    agent: &'a Agent,
    instances: &'a [Instance],
    registrations: &'a [Registration],
) -> AgentSheetJson<'a> {
    let registration = |row: &'a Registration| RegistrationJson {
        key_object_id: &row.key_object_id,
        first_seen: rfc3339(row.first_seen.as_ref()),
        last_seen: rfc3339(row.last_seen.as_ref()),
        last_address: &row.last_address,
        joins: row.joins,
    };
    AgentSheetJson {
        agent: agent_json(agent),
        instances: instances.iter().map(instance_json).collect(),
        registrations: registrations.iter().map(registration).collect(),
    }
}

pub(super) fn agent_table(agents: &[Agent], now: Timestamp) -> String {
    let styles: Vec<_> = agents.iter().map(|a| status_style(connection(a))).collect();
    let rows = agents
        .iter()
        .map(|agent| {
            vec![
                cell(&agent.agent_id),
                connection(agent).to_owned(),
                cell(&agent.hostname),
                cell(&agent.os_version),
                agent.instances_count.to_string(),
                relative(from_wire(agent.last_seen.as_ref()), now),
                cell(&agent.key_object_id),
            ]
        })
        .collect();
    let header = ["ID", "STATUS", "HOSTNAME", "OS", "NGINX", "SEEN", "KEY"];
    table(&header, rows, &styles)
}

pub(super) fn instance_table(instances: &[Instance], now: Timestamp) -> String {
    let styles: Vec<_> = instances.iter().map(|i| status_style(status(i))).collect();
    let rows = instances
        .iter()
        .map(|instance| {
            vec![
                cell(&instance.object_id),
                status(instance).to_owned(),
                cell(&instance.hostname),
                cell(&instance.version),
                cell(&instance.conf_path),
                relative(from_wire(instance.last_reported.as_ref()), now),
                cell(&instance.key_object_id),
            ]
        })
        .collect();
    let header = [
        "ID", "STATUS", "HOSTNAME", "VERSION", "CONFIG", "REPORTED", "KEY",
    ];
    table(&header, rows, &styles)
}

pub(super) fn registration_rows(
    registrations: &[Registration],
    now: Timestamp,
) -> ([&'static str; 5], Vec<Vec<String>>) {
    let rows = registrations
        .iter()
        .map(|row| {
            vec![
                cell(&row.key_object_id),
                relative(from_wire(row.first_seen.as_ref()), now),
                relative(from_wire(row.last_seen.as_ref()), now),
                row.joins.to_string(),
                cell(&row.last_address),
            ]
        })
        .collect();
    (["JOINED WITH", "FIRST", "LAST", "JOINS", "FROM"], rows)
}

pub(super) fn agent_sheet(agent: &Agent, now: Timestamp) -> String {
    let when = |time: &Option<prost_types::Timestamp>| absolute(from_wire(time.as_ref()), now);
    let place = if agent.in_container {
        "container"
    } else {
        "host"
    };
    let mut lines = vec![
        clean(&agent.agent_id),
        format!("  status    {}", connection(agent)),
        format!("  key       {}", cell(&agent.key_object_id)),
        format!("  {place:<9} {}", cell(&agent.hostname)),
        format!("  os        {}", cell(&agent.os_version)),
        format!("  version   {}", cell(&agent.agent_version)),
        format!("  joined    {}", when(&agent.first_seen)),
        format!("  seen      {}", when(&agent.last_seen)),
        format!("  from      {}", cell(&agent.last_address)),
    ];
    let labels: BTreeMap<_, _> = agent.labels.iter().collect();
    for (name, value) in labels {
        lines.push(format!("  label     {}={}", cell(name), cell(value)));
    }
    if !agent.remark.is_empty() {
        lines.push(format!("  remark    {}", clean(&agent.remark)));
    }
    lines.join("\n") + "\n"
}

/// An agent's remark beneath a list.
pub(super) fn remark(agent: &Agent) -> String {
    format!("{}: {}", clean(&agent.agent_id), clean(&agent.remark))
}
