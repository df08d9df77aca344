//! The identity of a simulated agent.
//!
//! Invariant: the same seed and number make the same agent, on any machine.

use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use crate::proto::mpi::v1 as mpi;
use crate::proto::mpi::v1::instance_meta::InstanceType;
use crate::proto::mpi::v1::instance_runtime::Details;
use crate::proto::mpi::v1::resource::Info;

/// The version of the real agent whose measured behaviour this one copies.
pub(super) const AGENT_VERSION: &str = "3.11.3";

/// Debian and its kin, as they are met most.
const SYSTEMS: [(&str, &str, &str, &str); 4] = [
    ("bookworm", "debian", "Debian GNU/Linux", "12"),
    ("jammy", "ubuntu", "Ubuntu", "22.04"),
    ("noble", "ubuntu", "Ubuntu", "24.04"),
    ("", "rhel", "Red Hat Enterprise Linux", "9.4"),
];
const NGINX_VERSIONS: [&str; 4] = ["1.22.1", "1.24.0", "1.26.3", "1.28.0"];

/// An agent's id and what it introduces itself with.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub id: Uuid,
    pub resource: mpi::Resource,
}

impl Identity {
    /// The agent of that number in the fleet of that seed.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"muster load agent");
        hash.update(seed.to_be_bytes());
        hash.update(number.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let id = uuid_of(&hash, 0);
        let pick = |at: usize, of: usize| usize::from(hash[16 + at]) % of;
        let (codename, system, name, version) = SYSTEMS[pick(0, SYSTEMS.len())];
        let host = mpi::HostInfo {
            host_id: id.to_string(),
            hostname: format!("web-{number:05}.load.example"),
            release_info: Some(mpi::ReleaseInfo {
                codename: codename.into(),
                id: system.into(),
                name: name.into(),
                version_id: version.into(),
                version: version.into(),
            }),
        };
        let nginx = (0..=pick(1, 3)).map(|n| nginx(n, NGINX_VERSIONS[pick(2 + n, 4)]));
        Self {
            id,
            resource: mpi::Resource {
                resource_id: id.to_string(),
                instances: std::iter::once(agent(id)).chain(nginx).collect(),
                info: Some(Info::HostInfo(host)),
            },
        }
    }

    /// What it says of its instances' health: all is well.
    pub fn healths(&self) -> mpi::UpdateDataPlaneHealthRequest {
        let ids = self
            .resource
            .instances
            .iter()
            .skip(1)
            .filter_map(|instance| {
                let meta = instance.instance_meta.as_ref()?;
                Some(mpi::InstanceHealth {
                    instance_id: meta.instance_id.clone(),
                    instance_health_status: mpi::instance_health::InstanceHealthStatus::Healthy
                        .into(),
                    description: String::new(),
                })
            });
        mpi::UpdateDataPlaneHealthRequest {
            message_meta: Some(meta(self.id)),
            instance_healths: ids.collect(),
        }
    }

    pub fn introduction(&self) -> mpi::CreateConnectionRequest {
        mpi::CreateConnectionRequest {
            message_meta: Some(meta(self.id)),
            resource: Some(self.resource.clone()),
        }
    }
}

fn uuid_of(hash: &[u8; 32], at: usize) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[at..at + 16]);
    Builder::from_random_bytes(bytes).into_uuid()
}

fn meta(id: Uuid) -> mpi::MessageMeta {
    mpi::MessageMeta {
        message_id: id.to_string(),
        correlation_id: id.to_string(),
        timestamp: None,
    }
}

fn agent(id: Uuid) -> mpi::Instance {
    mpi::Instance {
        instance_meta: Some(mpi::InstanceMeta {
            instance_id: id.to_string(),
            instance_type: InstanceType::Agent.into(),
            version: AGENT_VERSION.into(),
        }),
        instance_config: None,
        instance_runtime: Some(mpi::InstanceRuntime {
            process_id: 1201,
            binary_path: "/usr/bin/nginx-agent".into(),
            config_path: "/etc/nginx-agent/nginx-agent.conf".into(),
            ..Default::default()
        }),
    }
}

/// The n-th NGINX of a host. Its id is a hash of paths, so it is the same on
/// every host (reference: a real agent's measured behaviour).
fn nginx(n: usize, version: &str) -> mpi::Instance {
    let config_path = match n {
        0 => "/etc/nginx/nginx.conf".to_owned(),
        n => format!("/srv/site{n}/nginx.conf"),
    };
    let hash: [u8; 32] = Sha256::digest(config_path.as_bytes()).into();
    mpi::Instance {
        instance_meta: Some(mpi::InstanceMeta {
            instance_id: uuid_of(&hash, 0).to_string(),
            instance_type: InstanceType::Nginx.into(),
            version: version.into(),
        }),
        instance_config: None,
        instance_runtime: Some(mpi::InstanceRuntime {
            process_id: 1300,
            binary_path: "/usr/sbin/nginx".into(),
            config_path,
            details: Some(Details::NginxRuntimeInfo(mpi::NginxRuntimeInfo {
                access_logs: vec!["/var/log/nginx/access.log".into()],
                error_logs: vec!["/var/log/nginx/error.log".into()],
                dynamic_modules: vec!["http_ssl_module".into(), "http_v2_module".into()],
                ..Default::default()
            })),
            instance_children: vec![
                mpi::InstanceChild { process_id: 1301 },
                mpi::InstanceChild { process_id: 1302 },
            ],
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_seed_makes_the_same_fleet_again_and_another_another() {
        let fleet = |seed| (0..500).map(move |n| Identity::of(seed, n));
        let again = fleet(7).zip(fleet(7));
        assert!(
            again
                .into_iter()
                .all(|(a, b)| a.id == b.id && a.resource == b.resource)
        );
        let ids: HashSet<_> = fleet(7).chain(fleet(8)).map(|agent| agent.id).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn an_agent_reports_itself_and_one_to_three_nginx() {
        let mut seen = HashSet::new();
        for agent in (0..200).map(|n| Identity::of(1, n)) {
            let instances = &agent.resource.instances;
            assert_eq!(agent.resource.resource_id, agent.id.to_string());
            assert_eq!(agent.healths().instance_healths.len(), instances.len() - 1);
            seen.insert(instances.len());
        }
        assert_eq!(seen, HashSet::from([2, 3, 4]));
    }
}
