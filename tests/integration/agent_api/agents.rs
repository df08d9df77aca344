//! Who is out there: agents, their instances, and under which key, ever.

use muster::proto::admin::v1 as pb;
use muster::proto::mpi::v1 as mpi;
use muster::proto::mpi::v1::instance_health::InstanceHealthStatus;
use muster::proto::mpi::v1::instance_meta::InstanceType;
use muster::proto::mpi::v1::resource::Info;
use tonic::Code;
use uuid::Uuid;

use crate::support::{Operator, TestAgent, TestGateway, eventually, reason_of};

const NGINX: &str = "7b1a0f2e-2f6c-3b5e-9d3a-5f4f6f1f2a3b";

/// The agent's resource with one NGINX of that version, besides itself.
fn resource(agent: &TestAgent, version: &str) -> mpi::Resource {
    let instance = |kind: InstanceType, id: &str, version: &str| mpi::Instance {
        instance_meta: Some(mpi::InstanceMeta {
            instance_id: id.into(),
            instance_type: kind.into(),
            version: version.into(),
        }),
        instance_runtime: Some(mpi::InstanceRuntime {
            config_path: "/etc/nginx/nginx.conf".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut resource = agent.resource();
    let own = agent.id.to_string();
    resource.instances = vec![
        instance(InstanceType::Agent, &own, "v3.11.3"),
        instance(InstanceType::Nginx, NGINX, version),
    ];
    resource
}

pub async fn join_with_nginx(agent: &TestAgent, version: &str) {
    join_as(agent, "host", version).await;
}

/// On a host of that name.
pub async fn join_as(agent: &TestAgent, hostname: &str, version: &str) {
    let mut resource = resource(agent, version);
    if let Some(Info::HostInfo(host)) = &mut resource.info {
        host.hostname = hostname.into();
    }
    let request = mpi::CreateConnectionRequest {
        resource: Some(resource),
        ..Default::default()
    };
    let mut command = agent.command();
    command
        .create_connection(agent.request(request))
        .await
        .unwrap();
}

pub async fn instances(operator: &Operator, key: &str) -> Vec<pb::Instance> {
    let request = pb::ListInstancesRequest {
        key_object_id: key.into(),
        ..Default::default()
    };
    let answer = operator.agents().list_instances(request).await.unwrap();
    answer.into_inner().instances
}

pub async fn agent(operator: &Operator, id: Uuid) -> pb::GetAgentResponse {
    let request = pb::GetAgentRequest {
        agent_id: id.to_string(),
    };
    operator
        .agents()
        .get_agent(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn an_instances_status_follows_its_agent_and_its_health() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let nginx = gateway.agent(&key).await;
    join_with_nginx(&nginx, "1.22.1").await;
    let status = async || instances(&operator, &id).await[0].status();
    assert_eq!(
        status().await,
        pb::InstanceStatus::Unavailable,
        "no session yet"
    );
    let stream = nginx.subscribe().await.unwrap();
    assert_eq!(status().await, pb::InstanceStatus::Unknown);
    let judge = async |health: InstanceHealthStatus| {
        let request = mpi::UpdateDataPlaneHealthRequest {
            instance_healths: vec![mpi::InstanceHealth {
                instance_id: NGINX.into(),
                instance_health_status: health.into(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let mut command = nginx.command();
        let request = nginx.request(request);
        command.update_data_plane_health(request).await.unwrap();
    };
    judge(InstanceHealthStatus::Healthy).await;
    assert_eq!(status().await, pb::InstanceStatus::Online);
    judge(InstanceHealthStatus::Unhealthy).await;
    assert_eq!(status().await, pb::InstanceStatus::Offline);
    judge(InstanceHealthStatus::Degraded).await;
    let [row] = instances(&operator, &id).await.try_into().unwrap();
    assert_eq!(row.status(), pb::InstanceStatus::Online);
    assert_eq!(
        (row.version.as_str(), row.nginx_id.as_str()),
        ("1.22.1", NGINX)
    );
    assert_eq!(row.agent_version, "v3.11.3");
    assert!(row.object_id.starts_with("inst_"));
    // Gone from the report: not running.
    let mut gone = resource(&nginx, "");
    gone.instances.truncate(1);
    let request = nginx.request(mpi::UpdateDataPlaneStatusRequest {
        resource: Some(gone),
        ..Default::default()
    });
    nginx
        .command()
        .update_data_plane_status(request)
        .await
        .unwrap();
    assert_eq!(status().await, pb::InstanceStatus::Offline);
    let shown = agent(&operator, nginx.id).await.agent.unwrap();
    assert!(shown.remark.contains("no NGINX found"), "{}", shown.remark);
    drop(stream);
    eventually("it is unavailable", async || {
        instances(&operator, &id).await[0].status() == pb::InstanceStatus::Unavailable
    })
    .await;
}

#[tokio::test]
async fn the_same_reported_id_on_two_hosts_is_two_instances() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    for _ in 0..2 {
        join_with_nginx(&gateway.agent(&key).await, "1.22.1").await;
    }
    let rows = instances(&operator, &id).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[0].nginx_id, rows[1].nginx_id);
    assert_ne!(rows[0].object_id, rows[1].object_id);
}

#[tokio::test]
async fn an_agent_that_changes_its_key_is_registered_under_both() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (first, key) = operator.key("first").await;
    let (second, other) = operator.key("second").await;
    let mut mover = gateway.agent(&key).await;
    mover.id = Uuid::from_u128(2);
    join_with_nginx(&mover, "1.22.1").await;
    let mut stranger = mover.with_key(Some(&other));
    stranger.id = Uuid::from_u128(1);
    stranger.join().await.unwrap();
    join_with_nginx(&mover.with_key(Some(&other)), "1.22.1").await;
    let shown = agent(&operator, mover.id).await;
    assert_eq!(shown.agent.unwrap().key_object_id, second);
    let keys: Vec<_> = shown
        .registrations
        .iter()
        .map(|r| r.key_object_id.as_str())
        .collect();
    assert_eq!(keys, [first.as_str(), second.as_str()]);
    let listed = async |key: &str, ever, page_size| {
        let request = pb::ListAgentsRequest {
            key_object_id: key.into(),
            ever,
            page_size,
            ..Default::default()
        };
        let answer = operator.agents().list_agents(request).await.unwrap();
        answer.into_inner().agents.len()
    };
    assert_eq!(listed(&first, false, 0).await, 0);
    assert_eq!(listed(&first, true, 0).await, 1);
    // The stranger comes first and takes no room on the page.
    assert_eq!(listed(&first, true, 1).await, 1);
    assert_eq!(listed(&second, false, 0).await, 2);
    let counts = operator.show(&first).await.unwrap();
    assert_eq!((counts.current_agents, counts.registered_agents), (0, 1));
}

#[tokio::test]
async fn a_holder_of_one_key_cannot_speak_for_another_keys_agent() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("one").await;
    let (_, other) = operator.key("two").await;
    let honest = gateway.agent(&key).await;
    join_with_nginx(&honest, "1.22.1").await;
    let request = honest
        .with_key(Some(&other))
        .request(mpi::UpdateDataPlaneStatusRequest {
            resource: Some(resource(&honest, "6.6.6")),
            ..Default::default()
        });
    honest
        .command()
        .update_data_plane_status(request)
        .await
        .unwrap();
    assert_eq!(instances(&operator, &id).await[0].version, "1.22.1");
}

#[tokio::test]
async fn a_full_key_refuses_new_agents_as_a_limit_not_a_fault() {
    let gateway = TestGateway::configured(|c| c.instances.max_agents_per_key = 1).await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let first = gateway.agent(&key).await;
    first.join().await.unwrap();
    let second = gateway.agent(&key).await;
    let refused = second.join().await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert_eq!(reason_of(&refused), "TOO_MANY_AGENTS");
    assert!(
        refused.message().contains("max-agents-per-key"),
        "{refused}"
    );
    first.join().await.expect("a known agent always may");
}

#[tokio::test]
async fn an_unknown_agent_gets_not_found() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    for (bad, code) in [
        ("what", Code::InvalidArgument),
        ("00000000-0000-0000-0000-0000000000ff", Code::NotFound),
    ] {
        let request = pb::GetAgentRequest {
            agent_id: bad.into(),
        };
        let refused = operator.agents().get_agent(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
}
