//! What is in a file that a secret's setting names, or in its place by mistake, is in
//! no error.

use std::fs;

use super::{Site, done, muster};

const PASSWORD: &str = "hunter2hunter2";

/// A private key as it leaves openssl, and its lines.
fn private_key() -> (String, Vec<String>) {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let lines: Vec<&str> = pem.lines().collect();
    let inner = lines[1..lines.len() - 1].iter();
    let secrets = inner.map(|line| (*line).to_owned()).collect();
    (pem, secrets)
}

#[tokio::test]
async fn no_error_quotes_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    let (pem, mut secrets) = private_key();
    secrets.push(PASSWORD.to_owned());
    // Byte by byte, as a parser's Debug has it.
    let decimals: Vec<String> = secrets
        .iter()
        .map(|text| format!("{:?}", text.as_bytes()))
        .map(|text| text.trim_matches(['[', ']']).to_owned())
        .collect();
    let file = |name: &str, content: &str| {
        fs::write(dir.path().join(name), content).unwrap();
    };
    file("good.pem", &pem);
    file("escaped.pem", &pem.replace('\n', "\\n"));
    file("open.pem", &pem.replace("-----END", "END"));
    file("bare.pem", &pem.replace("-----", ""));
    file("password", PASSWORD);
    file("number.toml", "store = 987654321987\n");
    file(
        "list.toml",
        &format!("store = [\"redis://u:{PASSWORD}@h:1\"]\n"),
    );
    file(
        "open.toml",
        &format!("store = \"redis://u:{PASSWORD}@h:1\n"),
    );
    file("name.toml", &format!("\"redis://u:{PASSWORD}@h:1\" = 1\n"));
    file("token", &format!("mat_{PASSWORD}"));
    let url = |rest: &str| format!("redis://u:{PASSWORD}{rest}");
    let serve = |flags: &[&str]| {
        let words = [
            "serve",
            "--agent-listen=127.0.0.1:0",
            "--admin-listen=127.0.0.1:0",
        ];
        let words = [&words[..], &["--ops-listen=127.0.0.1:0"], flags].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let keys = |flags: &[&str]| {
        let words = [&["keys", "list"][..], flags].concat();
        words.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let key_as_flag = format!("--tls-key={pem}");
    let mut cases: Vec<(Vec<String>, &str)> = vec![
        (
            serve(&["--tls-cert", &pem, "--tls-key", "good.pem"]),
            "text of a private key",
        ),
        (
            serve(&["--tls-cert", "good.pem", &key_as_flag]),
            "expected the path of one",
        ),
        (
            serve(&["--config", "number.toml"]),
            "expected text in quotes",
        ),
        (serve(&["--config", "list.toml"]), "expected text in quotes"),
        (serve(&["--config", "open.toml"]), "not TOML"),
        (serve(&["--config", "name.toml"]), "unknown setting"),
        (serve(&["--config", "good.pem"]), "not TOML"),
        (serve(&["--config", "password"]), "not TOML"),
        (serve(&["--store", &url("@h:x/0")]), "expected embedded"),
        (serve(&["--store", &url("%FF@h:1/0")]), "not a Redis URL"),
        (
            keys(&["--token-file", "password", "--ca", "good.pem"]),
            "holds no admin token",
        ),
        (
            keys(&["--token-file", "token", "--ca", "good.pem"]),
            "holds no admin token",
        ),
        (
            keys(&["--admin-url", &format!("https://u:{PASSWORD}@h :1")]),
            "no token, user or password in it",
        ),
        (
            keys(&["--admin-url", &format!("mat_{PASSWORD}")]),
            "no token, user or password",
        ),
    ];
    for name in ["escaped.pem", "open.pem", "bare.pem", "good.pem"] {
        let word = match name {
            "escaped.pem" => "written out in place of its line ends",
            "open.pem" => "has no END line",
            _ => "holds no certificate",
        };
        cases.push((serve(&["--tls-cert", name, "--tls-key", "good.pem"]), word));
        let ca = ["--store=rediss://127.0.0.1:1/0", "--redis-ca-file", name];
        cases.push((serve(&ca), word));
        let real = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
        file("cert.pem", &real.cert.pem());
        if name != "good.pem" {
            let key_word = word.replace("holds no certificate", "holds no private key");
            let flags = ["--tls-cert", "cert.pem", "--tls-key", name];
            cases.push((serve(&flags), Box::leak(key_word.into_boxed_str())));
        }
    }
    for (words, expected) in cases {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = muster(dir.path(), &words);
        if words[0] == "keys" {
            command.env("MUSTER_ADMIN_URL", "https://127.0.0.1:1");
            command
                .env("MUSTER_TOKEN_FILE", "token")
                .env("MUSTER_CA", "good.pem");
        }
        let told = done(command).await;
        assert_ne!(told.code, Some(0), "{words:?}");
        let text = format!("{}{}", told.out, told.err);
        assert!(text.contains(expected), "{words:?}: {text}");
        for secret in secrets.iter().chain(&decimals) {
            assert!(
                !text.contains(&secret[..secret.len().min(40)]),
                "{words:?}: {text}"
            );
        }
        assert!(!text.contains("987654321987"), "{words:?}: {text}");
    }
    let mut by_variable = muster(dir.path(), &["serve"]);
    by_variable
        .env("MUSTER_TLS_KEY", &pem)
        .env("MUSTER_TLS_CERT", "good.pem");
    let told = done(by_variable).await;
    told.refused(2, &["MUSTER_TLS_KEY", "expected the path of one"]);
    assert!(!told.err.contains(&secrets[0]), "{}", told.err);
}

#[tokio::test]
async fn the_ca_file_of_the_commands_is_read_as_it_is_meant() {
    let site = Site::start().await;
    let ours = fs::read_to_string(site.path("muster-data/ca.pem")).unwrap();
    let other = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    let other = other.cert.pem();
    let file = site.path("both.pem");
    // Two during a change, joined as `cat` joins them.
    for text in [
        format!("{}{ours}", other.trim_end()),
        format!("\u{feff}{}{other}", ours.trim_end()),
    ] {
        fs::write(&file, text).unwrap();
        site.run(&["keys", "list", "--ca", "both.pem"]).await.ok();
    }
    let (pem, secrets) = private_key();
    fs::write(&file, pem.replace('\n', "\\n")).unwrap();
    let told = site.run(&["keys", "list", "--ca", "both.pem"]).await;
    told.refused(2, &["both.pem", "written out in place of its line ends"]);
    assert!(!told.err.contains(&secrets[0]), "{}", told.err);
}
