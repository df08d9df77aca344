//! Agents whose every word is made to harm a terminal, as the command line
//! prints them.

use http::HeaderValue;
use muster::proto::mpi::v1 as mpi;
use muster::proto::mpi::v1::instance_meta::InstanceType;
use serde_json::Value;
use tonic::Code;

use super::Site;
use crate::support::TestAgent;

/// Control characters, ANSI escapes, C1, line separators, and what turns text
/// around or hides in it.
const HARM: &str = "\0\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\t\u{8}\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\
     \u{202e}evil\u{202c}\u{2066}\u{2069}\u{200b}\u{200f}\u{feff}\u{ad}\u{e0041}é日🦀\\\"";
/// Longest line of a table: seven cells of 48 characters, and what is between.
const LINE: usize = 400;
/// Longest word that is kept of an agent.
const WORD: usize = 256;

fn harm(bytes: usize) -> String {
    HARM.repeat(bytes / HARM.len() + 1)
}

/// An agent that calls all eleven things so: `bytes` in all, roughly.
fn introduction(agent: &TestAgent, bytes: usize) -> mpi::CreateConnectionRequest {
    let word = || harm(bytes / 11);
    let instance = |kind: InstanceType| mpi::Instance {
        instance_meta: Some(mpi::InstanceMeta {
            instance_id: word(),
            instance_type: kind.into(),
            version: word(),
        }),
        ..Default::default()
    };
    let nginx = mpi::Instance {
        instance_runtime: Some(mpi::InstanceRuntime {
            binary_path: word(),
            config_path: word(),
            ..Default::default()
        }),
        ..instance(InstanceType::Nginx)
    };
    let value = prost_types::value::Kind::StringValue(word());
    let label = (word(), prost_types::Value { kind: Some(value) });
    let config = mpi::AgentConfig {
        labels: vec![prost_types::Struct {
            fields: [label].into(),
        }],
        ..Default::default()
    };
    let itself = mpi::Instance {
        instance_config: Some(mpi::InstanceConfig {
            config: Some(mpi::instance_config::Config::AgentConfig(config)),
            ..Default::default()
        }),
        ..instance(InstanceType::Agent)
    };
    let host = mpi::HostInfo {
        hostname: word(),
        release_info: Some(mpi::ReleaseInfo {
            id: word(),
            codename: word(),
            ..Default::default()
        }),
        ..Default::default()
    };
    mpi::CreateConnectionRequest {
        resource: Some(mpi::Resource {
            resource_id: agent.id.to_string(),
            instances: vec![itself, nginx],
            info: Some(mpi::resource::Info::HostInfo(host)),
        }),
        ..Default::default()
    }
}

/// Nothing that a terminal obeys, or that shows something else than is there.
fn harmless(what: &[&str], text: &str) {
    let harmful = |c: &char| {
        let hides = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        *c != '\n' && (c.is_control() || hides)
    };
    let harm = text.chars().find(harmful);
    assert_eq!(harm, None, "{what:?}: {}", text.escape_debug());
}

/// Every word in it, the names of labels, too.
fn words<'a>(json: &'a Value, found: &mut Vec<&'a str>) {
    match json {
        Value::String(word) => found.push(word),
        Value::Array(items) => items.iter().for_each(|item| words(item, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                found.push(name);
                words(value, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[tokio::test]
async fn an_agents_words_are_printed_harmlessly_and_bounded() {
    let site = Site::start().await;
    let (_, key) = site.key("k").await;
    // All that a header may carry of it.
    let called: String = harm(8000).chars().filter(|c| *c > '\u{7f}').collect();
    let called = HeaderValue::from_bytes(called.as_bytes()).unwrap();
    let agent = site.gateway.agent_called(called, &key).await;
    let mut command = agent.command();
    // More than a message may have is refused; just under it is let in.
    let over = agent.request(introduction(&agent, 5_000_000));
    let refused = command.create_connection(over).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    let under = introduction(&agent, 4_000_000);
    let size = prost::Message::encoded_len(&under);
    assert!(size > 3_900_000, "{size}");
    let joined = command.create_connection(agent.request(under)).await;
    joined.unwrap();
    let stream = agent.subscribe().await.unwrap();
    agent.with_key(None).join().await.unwrap_err();

    let id = agent.id.to_string();
    let (mut longest, mut most) = (0, 0);
    for what in [
        &["agents", "list"][..],
        &["agents", "show", &id],
        &["instances", "list"],
        &["sessions", "list"],
        &["events"],
        &["rejections", "list"],
        &["keys", "list"],
    ] {
        let plain = site.run(what).await;
        harmless(what, plain.ok());
        harmless(what, &plain.err);
        let json = site.run(&[what, &["-o", "json"]].concat()).await;
        harmless(what, json.ok());
        harmless(what, &json.err);
        // An agent's words, not ours: these are whole sentences.
        if what[0] != "rejections" {
            let widest = plain.out.lines().map(|l| l.chars().count()).max();
            longest = longest.max(widest.unwrap());
            assert!(longest <= LINE, "{what:?}: {}", plain.out);
        }
        let json = json.json();
        let mut found = Vec::new();
        words(&json, &mut found);
        // Escaped for the terminal, but the same words to a program.
        let theirs = found.iter().filter(|word| word.contains("\u{202e}evil"));
        most = theirs
            .map(|word| word.chars().count())
            .fold(most, usize::max);
        assert!(found.iter().all(|word| word.chars().count() <= 2 * WORD));
    }
    println!("{size} bytes of an agent: longest line {longest}, longest word {most} characters");
    let listed = site.run(&["agents", "list", "-o", "json"]).await.json();
    let hostname = listed[0]["hostname"].as_str().unwrap();
    assert!(harm(WORD * 4).starts_with(hostname));
    assert_eq!(hostname.chars().count(), WORD);
    drop(stream);
}
