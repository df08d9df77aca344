//! From what an agent sends to what is kept of it.

use std::collections::BTreeMap;

use prost_types::value::Kind;

use crate::gateway::registrations::{AgentReport, ReportedInstance};
use crate::proto::mpi::v1 as mpi;
use crate::proto::mpi::v1::instance_config::Config;
use crate::proto::mpi::v1::instance_health::InstanceHealthStatus;
use crate::proto::mpi::v1::instance_meta::InstanceType;
use crate::proto::mpi::v1::instance_runtime::Details;
use crate::proto::mpi::v1::resource::Info;
use crate::store::Health;

/// The report that a resource makes, bounded.
pub(super) fn report(resource: mpi::Resource) -> AgentReport {
    let (hostname, release, in_container) = match resource.info {
        Some(Info::HostInfo(host)) => (host.hostname, host.release_info, false),
        Some(Info::ContainerInfo(container)) => (container.hostname, container.release_info, true),
        None => (String::new(), None, false),
    };
    let mut report = AgentReport {
        hostname,
        os_version: release.map(os_version).unwrap_or_default(),
        in_container,
        ..AgentReport::default()
    };
    for instance in resource.instances {
        let meta = instance.instance_meta.unwrap_or_default();
        match meta.instance_type() {
            InstanceType::Agent => {
                report.agent_version = meta.version;
                report.labels = labels(instance.instance_config);
            }
            InstanceType::Nginx | InstanceType::NginxPlus => {
                let runtime = instance.instance_runtime.unwrap_or_default();
                report.instances.push(nginx(meta, runtime));
            }
            InstanceType::Unspecified | InstanceType::Unit | InstanceType::NginxAppProtect => {}
        }
    }
    report.bounded()
}

/// NGINX One's way to write it: `ubuntu_jammy`.
fn os_version(release: mpi::ReleaseInfo) -> String {
    let detail = if release.codename.is_empty() {
        release.version_id
    } else {
        release.codename
    };
    match (release.id.is_empty(), detail.is_empty()) {
        (false, false) => format!("{}_{detail}", release.id),
        (false, true) => release.id,
        (true, _) => detail,
    }
}

fn nginx(meta: mpi::InstanceMeta, runtime: mpi::InstanceRuntime) -> ReportedInstance {
    let is_plus = meta.instance_type() == InstanceType::NginxPlus
        || matches!(runtime.details, Some(Details::NginxPlusRuntimeInfo(_)));
    // Plus writes `1.25.3 (nginx-plus-r31)`.
    let (version, release) = match meta.version.split_once('(') {
        Some((version, release)) if is_plus => (version, release.trim_end_matches([')', ' '])),
        _ => (meta.version.as_str(), ""),
    };
    ReportedInstance {
        version: version.trim().to_owned(),
        plus_release: release.to_owned(),
        reported_id: meta.instance_id,
        binary_path: runtime.binary_path,
        conf_path: runtime.config_path,
    }
}

fn labels(config: Option<mpi::InstanceConfig>) -> BTreeMap<String, String> {
    let Some(Config::AgentConfig(config)) = config.and_then(|config| config.config) else {
        return BTreeMap::new();
    };
    let fields = config.labels.into_iter().flat_map(|labels| labels.fields);
    fields
        .map(|(name, value)| {
            let value = match value.kind {
                Some(Kind::StringValue(text)) => text,
                Some(Kind::BoolValue(flag)) => flag.to_string(),
                Some(Kind::NumberValue(number)) => number.to_string(),
                Some(Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_)) | None => {
                    String::new()
                }
            };
            (name, value)
        })
        .collect()
}

/// Each instance's health, by reported id.
pub(super) fn healths(healths: Vec<mpi::InstanceHealth>) -> Vec<(String, Option<Health>)> {
    healths
        .into_iter()
        .map(|health| {
            let judged = match health.instance_health_status() {
                InstanceHealthStatus::Unspecified => None,
                InstanceHealthStatus::Healthy => Some(Health::Healthy),
                InstanceHealthStatus::Degraded => Some(Health::Degraded),
                InstanceHealthStatus::Unhealthy => Some(Health::Unhealthy),
            };
            (health.instance_id, judged)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(kind: InstanceType, version: &str) -> mpi::Instance {
        mpi::Instance {
            instance_meta: Some(mpi::InstanceMeta {
                instance_id: "i".into(),
                instance_type: kind.into(),
                version: version.into(),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn agent_and_nginx_are_told_apart() {
        let release = mpi::ReleaseInfo {
            id: "debian".into(),
            codename: "bookworm".into(),
            ..Default::default()
        };
        let report = report(mpi::Resource {
            instances: vec![
                instance(InstanceType::Agent, "v3.11.3"),
                instance(InstanceType::Nginx, "1.22.1"),
                instance(InstanceType::NginxPlus, "1.25.3 (nginx-plus-r31-p1)"),
                instance(InstanceType::Unit, "1.0"),
            ],
            info: Some(Info::ContainerInfo(mpi::ContainerInfo {
                hostname: "h".into(),
                release_info: Some(release),
                ..Default::default()
            })),
            ..Default::default()
        });
        assert_eq!(report.agent_version, "v3.11.3");
        assert_eq!((report.hostname.as_str(), report.in_container), ("h", true));
        assert_eq!(report.os_version, "debian_bookworm");
        let versions: Vec<_> = report
            .instances
            .iter()
            .map(|i| (i.version.as_str(), i.plus_release.as_str()))
            .collect();
        assert_eq!(versions, [("1.22.1", ""), ("1.25.3", "nginx-plus-r31-p1")]);
    }

    #[test]
    fn an_agents_words_are_bounded() {
        let mut nginx = instance(InstanceType::Nginx, &"v".repeat(1 << 20));
        nginx.instance_runtime = Some(mpi::InstanceRuntime {
            binary_path: "é".repeat(1000),
            ..Default::default()
        });
        let report = report(mpi::Resource {
            instances: vec![nginx; 1000],
            info: Some(Info::HostInfo(mpi::HostInfo {
                hostname: "\u{1b}[2J".repeat(100_000),
                ..Default::default()
            })),
            ..Default::default()
        });
        // 16 KiB of texts of 768 bytes.
        assert_eq!(report.instances.len(), 21);
        assert_eq!(report.instances[0].binary_path.chars().count(), 256);
        assert_eq!(report.instances[0].version.len(), 256);
        assert_eq!(report.hostname.chars().count(), 256);
        let short = self::report(mpi::Resource {
            instances: vec![instance(InstanceType::Nginx, "1"); 1000],
            ..Default::default()
        });
        assert_eq!(short.instances.len(), 128);
    }
}
