//! What a gateway says of itself over REST, and what connects an agent to it:
//! the command line's words.

use tokio::process::Command;

use crate::support::{TestGateway, within};

/// What `muster agent-config --for` prints on that gateway.
async fn printed(gateway: &TestGateway, target: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.env_clear().args(["agent-config", "--for", target]);
    command.arg("--data-dir").arg(gateway.data_dir.path());
    let output = within("agent-config", command.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn agents_are_connected_by_the_words_of_the_command_line() {
    let gateway = TestGateway::configured(|config| {
        config.gateway_name = "one".into();
        config.tls.agent_address = Some("muster.example.com:7443".parse().unwrap());
    })
    .await;
    let rest = gateway.rest();
    let about = rest.get("/about").await.json();
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["gateway_name"], "one");
    assert_eq!(about["agent_address"], "muster.example.com:7443");
    assert_eq!(about["agent_address_named"], true);
    assert_eq!(about["store"], "embedded");
    for (target, file_name) in [
        ("host", "muster-agent.sh"),
        ("docker", "muster-agent-docker.sh"),
        ("kubernetes", "muster-agent.yaml"),
    ] {
        let told = rest.get(&format!("/agent-config?for={target}")).await;
        let told = told.json();
        assert_eq!(told["for"], target);
        assert_eq!(told["file_name"], file_name);
        assert_eq!(told["text"], printed(&gateway, target).await);
        assert!(!told["text"].as_str().unwrap().contains("dpk_"));
    }
    for path in ["/agent-config", "/agent-config?for=windows"] {
        let refused = rest.get(path).await;
        assert_eq!(refused.status, 400, "{refused:?}");
        assert_eq!(
            refused.error(),
            "for: must be host, docker or kubernetes",
            "{path}"
        );
    }
}

#[tokio::test]
async fn where_the_listener_is_bound_is_not_what_the_operator_named() {
    let gateway = TestGateway::start().await;
    let rest = gateway.rest();
    let about = rest.get("/about").await.json();
    assert_eq!(about["agent_address"], gateway.addresses.agent.to_string());
    assert_eq!(about["agent_address_named"], false);
    let pod = rest.get("/agent-config?for=kubernetes").await;
    assert_eq!(pod.status, 409, "{pod:?}");
    assert!(pod.error().contains("let others in"), "{pod:?}");
    let docker = rest.get("/agent-config?for=docker").await.json();
    assert_eq!(docker["text"], printed(&gateway, "docker").await);
}
