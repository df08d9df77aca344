//! `muster agent-config --for`: what it prints is run, not only read.

use std::fs;
use std::path::Path;

use tokio::process::Command;

use super::{Done, done, mode, muster};

const CA: &str = "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n";
const STOCK: &str = "log:\n  level: info\n#command:\n#  server:\n#    host: x\nlabels: {}";

/// A data directory as a gateway leaves it.
fn data_dir(dir: &Path, address: &str, tls: &str) {
    let data = dir.join("muster-data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("ca.pem"), CA).unwrap();
    fs::write(data.join("agent.address"), address).unwrap();
    fs::write(data.join("agent.tls"), tls).unwrap();
}

async fn printed(dir: &Path, flags: &[&str]) -> Done {
    let words = [&["agent-config"][..], flags].concat();
    done(muster(dir, &words)).await
}

/// A host below `dir`, with this nginx-agent.conf.
fn host(dir: &Path, conf: &str) {
    fs::create_dir_all(dir.join("etc/nginx-agent")).unwrap();
    fs::write(dir.join("etc/nginx-agent/nginx-agent.conf"), conf).unwrap();
}

async fn run(script: &Path, root: &Path) -> Done {
    let mut sh = Command::new("sh");
    sh.arg(script).env("DESTDIR", root);
    done(sh).await
}

#[tokio::test]
async fn the_script_sets_a_host_up_once_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    data_dir(dir.path(), "muster.example.com:7443\n", "muster\n");
    let script = dir.path().join("set-up.sh");
    let text = printed(dir.path(), &["--for", "host"]).await;
    fs::write(&script, text.ok()).unwrap();
    assert!(!text.out.contains("dpk_"));
    for shell in ["sh", "dash"] {
        let mut check = Command::new(shell);
        check.arg("-n").arg(&script);
        // Not every system has dash.
        if let Ok(output) = check.output().await {
            assert!(output.status.success(), "{shell}: {output:?}");
        }
    }

    let root = dir.path().join("a host");
    host(&root, STOCK);
    let etc = root.join("etc/nginx-agent");
    let read = |name: &str| fs::read_to_string(etc.join(name)).unwrap();
    let first = run(&script, &root).await;
    assert!(
        first.ok().contains("paste the data plane key"),
        "{}",
        first.out
    );
    assert_eq!(read("muster-ca.pem"), CA);
    assert_eq!(
        (read("muster.key"), mode(&etc.join("muster.key"))),
        (String::new(), 0o600)
    );
    assert_eq!(read("nginx-agent.conf.before-muster"), STOCK);
    let conf = read("nginx-agent.conf");
    assert!(conf.starts_with(STOCK), "{conf}");
    assert!(
        conf.contains("    ca: \"/etc/nginx-agent/muster-ca.pem\"\n"),
        "{conf}"
    );

    fs::write(etc.join("muster.key"), "a key").unwrap();
    let again = run(&script, &root).await;
    assert!(again.ok().contains("all is in place"), "{}", again.out);
    assert_eq!(
        (read("muster.key"), read("nginx-agent.conf")),
        ("a key".to_owned(), conf.clone())
    );

    // Another gateway: our block is replaced, the first backup stays.
    data_dir(dir.path(), "other.example.com:7443\n", "muster\n");
    let text = printed(dir.path(), &["--for", "host"]).await;
    fs::write(&script, text.ok()).unwrap();
    run(&script, &root).await.ok();
    assert_eq!(
        read("nginx-agent.conf"),
        conf.replace("muster.example.com", "other.example.com")
    );
    assert_eq!(read("nginx-agent.conf.before-muster"), STOCK);
}

#[tokio::test]
async fn the_script_changes_nothing_where_it_does_not_understand() {
    let dir = tempfile::tempdir().unwrap();
    data_dir(dir.path(), "muster.example.com:7443\n", "muster\n");
    let script = dir.path().join("set-up.sh");
    fs::write(&script, printed(dir.path(), &["--for", "host"]).await.ok()).unwrap();
    for (number, (conf, words)) in [
        ("command:\n  server: {host: x}\n", "command: block already"),
        ("\"command\" : {}\n", "command: block already"),
        ("# begin: muster agent-config\nlog: {}\n", "not one pair"),
        (
            "# end: muster agent-config\n# begin: muster agent-config\n",
            "not one pair",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let root = dir.path().join(number.to_string());
        host(&root, conf);
        run(&script, &root).await.refused(1, &[words]);
        let etc = root.join("etc/nginx-agent");
        assert_eq!(
            fs::read_to_string(etc.join("nginx-agent.conf")).unwrap(),
            conf
        );
        assert_eq!(fs::read_dir(&etc).unwrap().count(), 1);
    }
    run(&script, &dir.path().join("none"))
        .await
        .refused(1, &["install NGINX Agent"]);
}

#[tokio::test]
async fn no_ca_goes_along_where_the_certificate_is_not_musters() {
    let dir = tempfile::tempdir().unwrap();
    data_dir(dir.path(), "muster.example.com:7443\n", "own\n");
    for target in [
        &[][..],
        &["--for", "host"],
        &["--for", "docker"],
        &["--for", "kubernetes"],
    ] {
        let text = printed(dir.path(), target).await;
        for part in ["CERTIFICATE-", "    ca: ", "TLS_CA", "ca.pem="] {
            assert!(!text.ok().contains(part), "{part} in {}", text.out);
        }
    }
    let block = printed(dir.path(), &[]).await;
    assert!(
        block.ok().contains("# that certificate's CA"),
        "{}",
        block.out
    );
    data_dir(dir.path(), "muster.example.com:7443\n", "muster\n");
    let trusted = printed(dir.path(), &["--trusted"]).await;
    assert!(!trusted.ok().contains("ca:"), "{}", trusted.out);
}

#[tokio::test]
async fn containers_get_variables_and_one_mounted_directory() {
    let dir = tempfile::tempdir().unwrap();
    data_dir(dir.path(), "muster.example.com:7443\n", "muster\n");
    let docker = printed(dir.path(), &["--for", "docker"]).await;
    for part in [
        "-e NGINX_AGENT_COMMAND_SERVER_HOST=muster.example.com \\\n",
        "-e NGINX_AGENT_COMMAND_SERVER_PORT=7443 \\\n",
        "-e NGINX_AGENT_COMMAND_AUTH_TOKENPATH=/etc/muster/key \\\n",
        "-e NGINX_AGENT_COMMAND_TLS_CA=/etc/muster/ca.pem \\\n",
        "-v \"$PWD/muster-agent:/etc/muster:ro\" \\\n",
    ] {
        assert!(docker.ok().contains(part), "{part} in {}", docker.out);
    }
    let kubernetes = printed(dir.path(), &["--for", "kubernetes"]).await;
    for part in [
        "{name: NGINX_AGENT_COMMAND_SERVER_PORT, value: \"7443\"}",
        "{name: muster, mountPath: /etc/muster, readOnly: true}",
        "- configMap: {name: muster-ca, ",
    ] {
        assert!(
            kubernetes.ok().contains(part),
            "{part} in {}",
            kubernetes.out
        );
    }
    let json = printed(dir.path(), &["--for", "docker", "-o", "json"])
        .await
        .json();
    assert_eq!(
        (&json["for"], &json["text"]),
        (&"docker".into(), &docker.out.into())
    );

    let key = ["--for", "docker", "--key-file", "/k"];
    printed(dir.path(), &key)
        .await
        .refused(2, &["/etc/muster/key"]);
    data_dir(dir.path(), "127.0.0.1:7443\n", "muster\n");
    let docker = printed(dir.path(), &["--for", "docker"]).await;
    assert!(docker.ok().contains("--network host"));
    let pod = printed(dir.path(), &["--for", "kubernetes"]).await;
    pod.refused(2, &["--agent-address HOST:7443"]);
}

#[tokio::test]
async fn the_script_carries_a_certificate_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    data_dir(dir.path(), "muster.example.com:7443\n", "muster\n");
    let ca = dir.path().join("muster-data/ca.pem");
    fs::write(&ca, format!("{CA}MUSTER_CA\nid\n")).unwrap();
    let told = printed(dir.path(), &["--for", "host"]).await;
    told.refused(2, &["no certificate in PEM"]);
    fs::remove_file(&ca).unwrap();
    let told = printed(dir.path(), &["--for", "host"]).await;
    told.refused(2, &["--data-dir DIR", "--trusted"]);
}
