//! `muster load` against a real gateway: each scenario does what it says, finds
//! what there is to find, and removes what it made. No speed is asserted.

use std::sync::Arc;
use std::time::Duration;

use muster::load::{
    self, Admin, Denied, Hold, Join, LoadError, Loop, Plan, Progress, Report, Revoke, Scenario,
    Storm, Target, Verify,
};
use muster::proto::admin::v1 as pb;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::support::{Operator, TestGateway, eventually};

struct ByOperator(Operator);

#[async_trait::async_trait]
impl Admin for ByOperator {
    async fn create_key(&self, _: &str) -> Result<(String, SecretString), String> {
        let (id, secret) = self.0.key("load").await;
        Ok((id, secret.into()))
    }

    async fn revoke_key(&self, id: &str) -> Result<(), String> {
        let request = pb::RevokeKeyRequest {
            object_id: id.to_owned(),
            wait: None,
        };
        let answer = self.0.keys().revoke_key(request).await;
        answer.map(drop).map_err(|status| status.to_string())
    }

    async fn delete_key(&self, id: &str) -> Result<(), String> {
        let request = pb::DeleteKeyRequest {
            object_id: id.to_owned(),
        };
        let answer = self.0.keys().delete_key(request).await;
        answer.map(drop).map_err(|status| status.to_string())
    }
}

fn plan(gateways: &[&TestGateway], scenario: Scenario) -> Plan {
    let targets = gateways.iter().map(|gateway| Target {
        address: gateway.addresses.agent,
        host: "localhost".into(),
        ops: Some(gateway.addresses.ops),
    });
    Plan {
        scenario,
        targets: targets.collect(),
        ca: gateways[0].file("ca.pem").into_bytes(),
        seed: 7,
        warm_up: Duration::ZERO,
        health_every: Duration::from_secs(60),
        hosts_are_own: false,
    }
}

async fn run(gateway: &TestGateway, scenario: Scenario) -> Report {
    let admin = Arc::new(ByOperator(gateway.operator().await));
    let watcher = Arc::new(|progress: Progress| drop(progress));
    let stop = CancellationToken::new();
    let report = load::run(plan(&[gateway], scenario), admin, watcher, stop).await;
    let report = report.unwrap();
    assert!(report.left_behind.is_empty(), "{:?}", report.left_behind);
    let keys = pb::ListKeysRequest::default();
    let keys = gateway.operator().await.keys().list_keys(keys).await;
    assert!(
        keys.unwrap().into_inner().keys.is_empty(),
        "it removes its keys"
    );
    eventually("its sessions are gone", async || {
        gateway.metric("muster_sessions_live").await == 0.0
    })
    .await;
    println!("{}: {:?}", report.scenario, report.facts);
    report
}

fn fact(report: &Report, name: &str) -> f64 {
    let found = report.facts.iter().find(|fact| fact.name == name);
    found
        .unwrap_or_else(|| panic!("{name}: {:?}", report.facts))
        .value
}

#[tokio::test]
async fn joins_are_counted_as_the_gateway_counts_them() {
    let gateway = TestGateway::start().await;
    for rate in [None, Some(40.0)] {
        let before = gateway.metric("muster_joins_total").await;
        let join = Join {
            agents: 50,
            calls: Loop {
                at_once: 4,
                rate,
                lasts: Duration::from_secs(1),
            },
        };
        let report = run(&gateway, Scenario::Join(join)).await;
        let joins = &report.operations["join"];
        assert!(joins.errors.is_empty(), "{joins:?}");
        let counted = gateway.metric("muster_joins_total").await - before;
        assert_eq!(joins.count.to_string(), counted.to_string());
        if rate.is_some() {
            assert_eq!(
                joins.count, 40,
                "an open loop has so many, whatever it takes"
            );
        }
        // Both sides' cost is told.
        assert_eq!(report.costs.len(), 2, "{:?}", report.costs);
    }
}

#[tokio::test]
async fn verifies_come_back_and_sessions_are_held_and_churned() {
    let gateway = TestGateway::start().await;
    let verify = Verify {
        connections: 3,
        calls: Loop {
            at_once: 6,
            rate: None,
            lasts: Duration::from_millis(500),
        },
    };
    let report = run(&gateway, Scenario::Verify(verify)).await;
    assert!(report.operations["verify"].count > 6);
    assert!(report.operations["verify"].errors.is_empty());

    let hold = Hold {
        agents: 20,
        at_once: 5,
        churn: 10.0,
        lasts: Duration::from_secs(1),
    };
    let report = run(&gateway, Scenario::Hold(hold)).await;
    // One at the begin, one each tenth of a second; the last is due as it ends.
    let cut = fact(&report, "sessions cut by the harness").to_string();
    assert!(["9", "10", "11"].contains(&cut.as_str()), "{cut}");
    assert_eq!(fact(&report, "sessions lost otherwise").to_string(), "0");
    assert!(report.operations["join"].count >= 20);
}

#[tokio::test]
async fn a_revoke_is_timed_session_by_session_and_spares_the_others() {
    let gateway = TestGateway::start().await;
    let revoke = Revoke {
        agents: 30,
        revoked: Some(20),
        at_once: 8,
        settle: Duration::from_millis(100),
        retries: true,
    };
    let report = run(&gateway, Scenario::Revoke(revoke)).await;
    for (name, value) in [
        ("sessions under the key", 20.0),
        ("ended", 20.0),
        ("told: Unauthenticated", 20.0),
        ("left after 15 s", 0.0),
        ("came back in", 0.0),
        ("others that were cut", 0.0),
    ] {
        assert!(
            (fact(&report, name) - value).abs() < 1e-9,
            "{name}: {:?}",
            report.facts
        );
    }
    let page = report.html();
    assert!(page.contains("After the cut") && page.contains("sessions ended"));
}

#[tokio::test]
async fn after_a_storm_all_are_back() {
    let gateway = TestGateway::start().await;
    let storm = Storm {
        agents: 20,
        at_once: 8,
        cut: None,
        wait: Duration::from_secs(30),
    };
    let report = run(&gateway, Scenario::Storm(storm)).await;
    assert_eq!(fact(&report, "back").to_string(), "20");
    // 20 ms after the cut at the earliest, as a real agent's was measured.
    assert!(fact(&report, "100 % back after the cut") >= 0.02);
    let wrong = Storm {
        agents: 2,
        at_once: 1,
        cut: Some("exit 3".into()),
        wait: Duration::from_secs(5),
    };
    let admin = Arc::new(ByOperator(gateway.operator().await));
    let plan = plan(&[&gateway], Scenario::Storm(wrong));
    let failed = load::run(plan, admin, Arc::new(drop), CancellationToken::new()).await;
    let why = failed.unwrap_err().to_string();
    assert!(why.contains("--cut") && why.contains('3'), "{why}");
}

#[tokio::test]
async fn what_can_not_be_run_is_refused_before_anything_is_made() {
    let gateway = TestGateway::start().await;
    let hold = |agents| {
        Scenario::Hold(Hold {
            agents,
            at_once: 1,
            churn: 0.0,
            lasts: Duration::from_secs(1),
        })
    };
    let admin = Arc::new(ByOperator(gateway.operator().await));
    let refused = async |plan: Plan| {
        let ran = load::run(
            plan,
            admin.clone(),
            Arc::new(drop),
            CancellationToken::new(),
        )
        .await;
        ran.unwrap_err()
    };
    let many = refused(plan(&[&gateway], hold(10_000_000))).await;
    assert!(many.to_string().contains("ulimit -n 10000064"), "{many}");
    let mut elsewhere = plan(&[&gateway], hold(1));
    elsewhere.targets[0].address = "192.0.2.1:7443".parse().unwrap();
    let elsewhere = refused(elsewhere).await;
    assert!(matches!(elsewhere, LoadError::NotOwn(_)), "{elsewhere}");
    let mut none = plan(&[&gateway], hold(1));
    none.targets.clear();
    assert!(matches!(refused(none).await, LoadError::NoTarget));
    assert!(matches!(
        refused(plan(&[&gateway], hold(0))).await,
        LoadError::Plan(_)
    ));
    let mut foreign = plan(&[&gateway], hold(1));
    foreign.ca = TestGateway::start().await.file("ca.pem").into_bytes();
    // A certificate of another CA is no reason to give up, so it is stopped.
    let stop = CancellationToken::new();
    stop.cancel();
    let stopped = load::run(foreign, admin.clone(), Arc::new(drop), stop).await;
    assert!(matches!(stopped, Err(LoadError::Interrupted)));
    assert_eq!(gateway.metric("muster_joins_total").await.to_string(), "0");
}

#[tokio::test]
async fn good_agents_are_measured_alone_and_beside_revoked_ones() {
    let gateway = TestGateway::start().await;
    let denied = Denied {
        agents: 3,
        rate: 20.0,
        revoked: 10,
        at_once: 5,
        steady: Duration::from_secs(2),
        lasts: Duration::from_secs(2),
    };
    let report = run(&gateway, Scenario::Denied(denied)).await;
    for name in ["good, alone", "good, beside"] {
        let good = &report.operations[name];
        assert_eq!((good.count, good.errors.len()), (40, 0), "{name}: {good:?}");
    }
    let refused = gateway
        .metric("muster_refusals_total{reason=\"KEY_REVOKED\"}")
        .await;
    assert!(refused >= 10.0, "{refused}");
}
