//! Sessions: what lists show, who supersedes whom, what an operator can end.

use muster::proto::admin::v1 as pb;
use tonic::Code;

use crate::gateway::events::events;
use crate::support::{Operator, Process, TestGateway, eventually, reason_of};

#[tokio::test]
async fn a_list_tells_who_is_connected() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let stream = agent.connect().await;
    let sessions = operator.list_sessions(&id).await;
    let [session] = sessions.as_slice() else {
        panic!("{sessions:?}");
    };
    assert_eq!(session.agent_id, agent.id.to_string());
    assert_eq!(session.key_object_id, id);
    assert!(
        session
            .session_id
            .starts_with(&format!("{}-", session.gateway_id))
    );
    assert!(session.peer.starts_with("127.0.0.1:"));
    assert!(
        session.user_agent.contains("tonic"),
        "{}",
        session.user_agent
    );
    assert!(session.opened_at.is_some());
    drop(stream);
    eventually("the session goes with its stream", async || {
        operator.list_sessions("").await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_second_stream_of_the_same_agent_supersedes_the_first() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut first = agent.connect().await;
    // A new connection, as after a network fault that the old one missed.
    let mut again = gateway.agent(&key).await;
    again.id = agent.id;
    let second = again.connect().await;
    let status = first.end().await;
    assert_eq!(status.code(), Code::Aborted);
    assert_eq!(reason_of(&status), "SUPERSEDED");
    drop(first);
    agent.join().await.expect("its connection stays");
    let left = operator.list_sessions(&id).await;
    assert_eq!(left.len(), 1);
    drop(second);
}

/// A cloned host has the id and the key of the other: each would supersede the
/// other for ever.
#[tokio::test]
async fn two_clones_of_an_agent_both_stay_and_are_reported() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let one = gateway.agent_from([127, 0, 0, 1].into(), &key).await;
    let mut two = gateway.agent_from([127, 0, 0, 2].into(), &key).await;
    two.id = one.id;
    let told = async || {
        let events = events(&operator, &id).await.into_iter();
        let of_clones = events.filter(|event| event.kind == "duplicate_agent");
        of_clones.collect::<Vec<_>>()
    };
    // An agent may move three times; what it leaves behind ends.
    let mut before = one.connect().await;
    for turn in [&two, &one, &two] {
        let stream = turn.connect().await;
        let status = before.end().await;
        assert_eq!(reason_of(&status), "SUPERSEDED", "{status}");
        before = stream;
    }
    assert_eq!(told().await, []);
    let fourth = one.connect().await;
    let fifth = two.connect().await;
    // Three stand: the third of the moves and those after it.
    let peers = async || {
        let sessions = operator.list_sessions(&id).await.into_iter();
        let peer = |s: pb::Session| s.peer.rsplit_once(':').unwrap().0.to_owned();
        sessions.map(peer).collect::<Vec<_>>()
    };
    assert_eq!(peers().await, ["127.0.0.2", "127.0.0.1", "127.0.0.2"]);
    let told = told().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].agent_id, one.id.to_string());
    assert!(told[0].detail.contains("now 127.0.0.1:"), "{told:?}");
    drop((before, fourth, fifth));
}

#[tokio::test]
async fn the_same_resource_id_under_another_key_kicks_nobody() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (_, key) = operator.key("one").await;
    let (_, other) = operator.key("two").await;
    let agent = gateway.agent(&key).await;
    let first = agent.connect().await;
    let second = agent.with_key(Some(&other)).connect().await;
    assert_eq!(operator.list_sessions("").await.len(), 2);
    drop((first, second));
}

#[tokio::test]
async fn a_disconnect_ends_one_session_and_lets_it_come_back() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    let mut stream = agent.connect().await;
    let session = operator.list_sessions(&id).await.remove(0).session_id;
    let answer = disconnect(&operator, &session).await.unwrap();
    assert!(answer.closed);
    let status = stream.end().await;
    assert_eq!(status.code(), Code::Unavailable, "not the agent's fault");
    assert_eq!(reason_of(&status), "DISCONNECTED");
    let back = agent.connect().await;
    assert_eq!(operator.list_sessions(&id).await.len(), 1);
    for (gone, code) in [
        (session.as_str(), Code::NotFound),
        ("0123456789ABCDEF-1", Code::NotFound),
        ("what", Code::InvalidArgument),
    ] {
        let refused = disconnect(&operator, gone).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
    }
    drop(back);
}

async fn disconnect(
    operator: &Operator,
    session: &str,
) -> Result<pb::DisconnectSessionResponse, tonic::Status> {
    let request = pb::DisconnectSessionRequest {
        session_id: session.into(),
    };
    let response = operator.sessions().disconnect_session(request).await?;
    Ok(response.into_inner())
}

#[tokio::test]
async fn lists_page_without_loss() {
    let gateway = TestGateway::start().await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let mut agent = gateway.agent(&key).await;
    let mut streams = Vec::new();
    for n in 0..12 {
        agent.id = uuid::Uuid::from_u128(n);
        streams.push(agent.subscribe().await.unwrap());
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListSessionsRequest {
            key_object_id: id.clone(),
            page_size: 5,
            page_token,
        };
        let page = operator
            .sessions()
            .list_sessions(request)
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.sessions.into_iter().map(|s| s.agent_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 12);
}

#[tokio::test]
async fn an_ipv4_peer_of_a_socket_for_both_families_is_told_as_ipv4() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &["--agent-listen", "[::]:0"]).await;
    let operator = gateway.operator().await;
    let (id, key) = operator.key("k").await;
    let port = gateway.agent_port();
    let agent = gateway
        .agent_dialling(&format!("https://127.0.0.1:{port}"), &key)
        .await;
    let _stream = agent.connect().await;
    let sessions = operator.list_sessions(&id).await;
    assert!(sessions[0].peer.starts_with("127.0.0.1"), "{sessions:?}");
}
