//! Redis with Sentinel: gateways find the master by themselves, and say what a
//! failover may lose.

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::gateway::auth::StaleMode;
use muster::keys::Id;
use muster::proto::admin::v1 as pb;
use muster::store::redis::{RedisOpenError, RedisStore, RedisUrl};
use muster::store::{GatewayId, GatewayInfo, GatewayStore, Heartbeat, KeyStore, StoreError};

use tonic::Code;

use crate::support::{
    PATIENCE, Process, RedisServer, Sentinels, TestGateway, eventually, new_key, reason_of, within,
};

#[tokio::test]
async fn gateways_follow_a_failover_by_themselves() {
    let mut site = Sentinels::start().await;
    let url = site.url();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca").display().to_string();
    let flags = ["--store", &url, "--ca-dir", &ca];
    let one = Process::start(&folder.path().join("one"), &flags).await;
    let two = Process::start(&folder.path().join("two"), &flags).await;
    let operator = one.operator().await;
    let mut keys = operator.keys();
    let named = |name: &str| pb::CreateKeyRequest {
        name: name.into(),
        expires_at: None,
    };
    let created = keys.create_key(named("k")).await.unwrap().into_inner();
    assert!(created.durable && created.replicas_acknowledged > 0);
    let (id, key) = (created.key.unwrap().object_id, created.secret);
    let (_, kept) = operator.key("kept").await;
    let mut stream = two.agent(&key).await.connect().await;
    let mut stays = two.agent(&kept).await.connect().await;

    let old = site.kill_master().await;
    let killed = Instant::now();
    let (new, _) = site.failover_from(old).await;
    println!("Sentinel had promoted another after {:?}", killed.elapsed());
    // A known key is good all the time; a new one once the gateways are there.
    if let Err(status) = two.agent(&key).await.join().await {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
    }
    for (gateway, other) in [(&one, &two), (&two, &one)] {
        let operator = gateway.operator().await;
        let created = within("a key can be made", async {
            loop {
                if let Ok(created) = operator.keys().create_key(named("after")).await {
                    return created.into_inner();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let secret = created.await.secret;
        eventually("it is good on the other", async || {
            other.agent(&secret).await.join().await.is_ok()
        })
        .await;
        println!("its gateways served a new key after {:?}", killed.elapsed());
    }
    // A revoke on one ends the session on the other, which had stayed.
    let revoked = operator.revoke(&id).await;
    assert!(revoked.complete, "{revoked:?}");
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");
    assert_eq!(two.metric("muster_sessions_live").await, 1.0);
    site.replicas_of(new, 1).await;
    two.stop(PATIENCE).await;
    assert_eq!(stays.end().await.code(), Code::Unavailable);
}

#[tokio::test]
async fn a_demoted_master_is_left() {
    let site = Sentinels::start().await;
    let store = site.store(|_| {}).await;
    let beat = enrolled(&store).await;
    store.renew(beat.clone()).await.unwrap();
    let [master, replica, _] = &site.servers[..] else {
        panic!("three servers");
    };
    demote(master, replica.port()).await;
    let refused = store.renew(beat.clone()).await.unwrap_err().to_string();
    assert!(refused.contains("ReadOnly"), "{refused}");
    // Sentinel has not noticed yet: the server itself says what it is.
    let refused = store.renew(beat).await.unwrap_err().to_string();
    for words in ["it is no master", "which the sentinel 127.0.0.1:"] {
        assert!(refused.contains(words), "{refused}");
    }
}

#[tokio::test]
async fn a_master_without_replicas_renews_nothing() {
    let site = Sentinels::start().await;
    let store = Arc::new(site.store(|_| {}).await);
    let gateway = TestGateway::over(store.clone(), |config| {
        config.timing.feed_interval = Duration::from_millis(100);
        config.staleness.mode = StaleMode::Strict;
        config.staleness.uncached_after = Duration::from_secs(1);
        config.staleness.stale_after = Duration::from_secs(2);
        config.staleness.spread = Duration::ZERO;
    })
    .await;
    let (_, key) = gateway.operator().await.key("k").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    for replica in &site.servers[1..] {
        replica.pause();
    }
    let paused = Instant::now();
    let end = stream.end().await;
    println!("strict ended the session after {:?}", paused.elapsed());
    assert_eq!(reason_of(&end), "STORE_NOT_HEARD", "{end}");
    let refused = store.create(new_key("n")).await.unwrap_err().to_string();
    assert!(refused.contains("NOREPLICAS"), "{refused}");
    let (status, why) = gateway.ops("/readyz").await;
    assert_eq!(status, 503, "{why}");

    for replica in &site.servers[1..] {
        replica.resume();
    }
    eventually("it is ready again", async || {
        gateway.ops("/readyz").await.0 == 200
    })
    .await;
    gateway.agent(&key).await.connect().await;
}

#[tokio::test]
async fn durable_is_what_a_replica_has() {
    let site = Sentinels::start().await;
    let deadline = Duration::from_millis(300);
    let set = |options: &mut muster::store::redis::RedisOptions| {
        options.replicas_deadline = deadline;
    };
    let store = Arc::new(site.store(set).await);
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut stream = gateway.agent(&key).await.connect().await;
    for replica in &site.servers[1..] {
        replica.pause();
    }
    let begun = Instant::now();
    let revoked = operator.revoke(&id).await;
    println!("a revoke that no replica has took {:?}", begun.elapsed());
    assert!(revoked.complete && !revoked.durable, "{revoked:?}");
    assert_eq!(revoked.replicas_acknowledged, 0);
    assert_eq!(reason_of(&stream.end().await), "KEY_REVOKED");

    // Many at once share their waits: none is refused for those before it.
    let begun = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let written = store.create(new_key(&n.to_string())).await.unwrap();
            store.settle(&written).await
        });
    }
    let settled = writers.join_all().await;
    assert!(settled.iter().all(|one| !one.is_durable()), "{settled:?}");
    let took = begun.elapsed();
    println!("20 changes at once waited {took:?}");
    // One after the other would be 20 deadlines.
    assert!(took < 10 * deadline, "{took:?}");

    for replica in &site.servers[1..] {
        replica.resume();
    }
    eventually("to revoke again tells that it is durable", async || {
        let again = operator.revoke(&id).await;
        again.durable && again.replicas_acknowledged > 0
    })
    .await;
}

#[tokio::test]
async fn a_master_that_would_not_stop_by_itself_is_an_alarm() {
    let site = Sentinels::start().await;
    set_minimum(&site, 0).await;
    let store = site.store(|_| {}).await;
    let gateway = TestGateway::over(Arc::new(store), |config| {
        config.timing.feed_interval = Duration::from_millis(100);
    })
    .await;
    let unprotected = "muster_store_unprotected";
    eventually("the alarm", async || {
        gateway.metric(unprotected).await == 1.0
    })
    .await;
    let (status, why) = gateway.ops("/readyz").await;
    assert_eq!(status, 503, "{why}");
    for words in ["cut off from its replicas", "min-replicas-to-write 1"] {
        assert!(why.contains(words), "{why}");
    }
    set_minimum(&site, 1).await;
    eventually("it is ready", async || {
        gateway.ops("/readyz").await.0 == 200 && gateway.metric(unprotected).await == 0.0
    })
    .await;
}

#[tokio::test]
async fn sentinels_that_tell_no_master_are_named_with_the_cause() {
    let mut site = Sentinels::start().await;
    let url = site.url();
    let refusal = async |url: &str| {
        let mut options = site.options();
        options.url = RedisUrl::parse(url).unwrap();
        match RedisStore::open(options).await {
            Err(RedisOpenError::Unavailable(StoreError::Failed(why))) => why,
            other => panic!("{:?}", other.map(|store| store.id())),
        }
    };
    let unknown = refusal(&url.replace("/muster/", "/other/")).await;
    assert!(unknown.contains("no master named \"other\""), "{unknown}");
    for address in site.addresses() {
        assert!(unknown.contains(&address), "{unknown}");
    }
    site.sentinels[0].pause();
    site.sentinels[1].kill();
    // The third is enough.
    site.store(|options| options.connect_deadline = Duration::from_secs(3))
        .await;
    site.sentinels[0].resume();
    site.sentinels[2].kill();
    // And so is the one that comes back.
    site.store(|options| options.connect_deadline = Duration::from_secs(3))
        .await;
    site.sentinels[0].pause();
    let away = {
        let mut options = site.options();
        options.connect_deadline = Duration::from_millis(300);
        RedisStore::open(options).await
    };
    let away = away.map(|store| store.id()).unwrap_err().to_string();
    for words in ["no answer within 300ms", "Connection refused"] {
        assert!(away.contains(words), "{away}");
    }
    assert!(!format!("{unknown}{away}").contains("change-me"));
}

/// A heartbeat of a gateway that is enrolled.
async fn enrolled(store: &RedisStore) -> Heartbeat {
    let info = GatewayInfo {
        id: GatewayId(Id::random().unwrap()),
        name: "g".into(),
        version: "0".into(),
    };
    let gateway = info.id;
    let position = store.enrol(info).await.unwrap();
    Heartbeat {
        gateway,
        position,
        applied: position,
        live_sessions: 0,
        standing: muster::store::Standing::default(),
        outcomes: Vec::new(),
    }
}

/// Makes a master a replica behind Sentinel's back.
async fn demote(master: &RedisServer, of: u16) {
    let mut raw = master.raw().await;
    let mut demote = redis::cmd("REPLICAOF");
    demote.arg("127.0.0.1").arg(of);
    let () = demote.query_async(&mut raw).await.unwrap();
}

async fn set_minimum(site: &Sentinels, replicas: u32) {
    for server in &site.servers {
        let mut raw = server.raw().await;
        let mut set = redis::cmd("CONFIG");
        set.arg(&["SET", "min-replicas-to-write"]).arg(replicas);
        let () = set.query_async(&mut raw).await.unwrap();
    }
}
