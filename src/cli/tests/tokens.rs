//! `muster tokens …` against the fake.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::fake::{Fake, token};
use super::{type_in, type_with};
use crate::proto::admin::v1::Role;

fn four() -> Fake {
    let fake = Fake::start(Vec::new());
    fake.state.lock().tokens = vec![
        token(1, "first", Role::Admin),
        token(2, "ci", Role::Viewer),
        token(3, "anna", Role::Operator),
        token(4, "anna", Role::Viewer),
    ];
    fake
}

#[test]
fn a_created_token_goes_alone_to_stdout() {
    let fake = four();
    let done = type_in(&fake, &["tokens", "create", "bob", "--role", "admin"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let secret = fake.state.lock().secrets[0].clone();
    assert_eq!(done.out, format!("{secret}\n"));
    for told in [
        "shown this once",
        "role admin; it does not expire",
        "--token-file",
    ] {
        assert!(done.err.contains(told), "{}", done.err);
    }
    assert!(!done.err.contains(&secret));

    let line = ["tokens", "create", "bob", "--role", "viewer"];
    let until = ["--expires-at", "2027-01-31T00:00:00Z", "-o", "json"];
    let done = type_in(&fake, &[&line[..], &until].concat());
    let secret = fake.state.lock().secrets[1].clone();
    assert_eq!(
        done.json(),
        json!({
            "name": "bob",
            "object_id": "tok_0000000000000009",
            "role": "viewer",
            "token": secret,
            "expires_at": "2027-01-31T00:00:00Z",
        })
    );
    assert_eq!(done.err, "");
}

#[test]
fn a_token_file_is_private_new_and_not_left_behind() {
    let fake = four();
    let path = fake.dir.path().join("bob.token");
    let out = path.to_str().unwrap();
    let line = [
        "tokens",
        "create",
        "bob",
        "--role",
        "viewer",
        "--token-out",
        out,
    ];
    let done = type_in(&fake, &line);
    let secret = fake.state.lock().secrets[0].clone();
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    let kept = || std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept(), format!("{secret}\n"));
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // It is there: no token is made, and the file stays as it was.
    let done = type_in(&fake, &line);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("no token was created"), "{}", done.err);
    assert_eq!(fake.state.lock().secrets.len(), 1);
    assert_eq!(kept(), format!("{secret}\n"));

    // The create is refused: no file is left.
    let other = fake.dir.path().join("other.token");
    let out = other.to_str().unwrap();
    let line = [
        "tokens",
        "create",
        "",
        "--role",
        "viewer",
        "--token-out",
        out,
    ];
    assert_eq!(type_in(&fake, &line).code, 1);
    assert!(!other.exists());
}

#[test]
fn a_list_is_all_pages_and_marks_the_own() {
    let fake = four();
    let done = type_in(&fake, &["tokens", "list"]);
    assert_eq!(
        done.out,
        "ID                    STATUS  ROLE      EXPIRES  NAME\n\
         tok_0000000000000001  valid   admin     never    first (yours)\n\
         tok_0000000000000002  valid   viewer    never    ci\n\
         tok_0000000000000003  valid   operator  never    anna\n\
         tok_0000000000000004  valid   viewer    never    anna\n"
    );
    let rows = type_in(&fake, &["tokens", "list", "-o", "json"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 4);
    assert_eq!(
        rows[0],
        json!({
            "object_id": "tok_0000000000000001",
            "name": "first",
            "role": "admin",
            "status": "valid",
            "yours": true,
            "created_at": "2023-11-14T22:13:20Z",
            "expires_at": null,
        })
    );
}

#[test]
fn a_revoke_asks_and_takes_an_id_or_an_unambiguous_name() {
    let fake = four();
    let dir = fake.dir.path();
    let done = type_in(&fake, &["tokens", "revoke", "ci"]);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("--yes"), "{}", done.err);
    let done = type_with(dir, &["tokens", "revoke", "ci"], Some("n\n"));
    assert_eq!(done.code, 1);
    assert!(done.err.contains("Revoke it? [y/N]"), "{}", done.err);
    assert!(done.err.contains("nothing was revoked"), "{}", done.err);
    let done = type_with(dir, &["tokens", "revoke", "ci"], Some("y\n"));
    assert_eq!(done.out, "tok_0000000000000002 \"ci\": revoked\n");
    // Again: it changes nothing, so nothing is asked.
    let done = type_with(dir, &["tokens", "revoke", "ci"], Some("n\n"));
    assert_eq!(done.code, 0);
    assert!(done.err.contains("revoked already"), "{}", done.err);

    let done = type_in(&fake, &["tokens", "revoke", "anna", "--yes"]);
    assert_eq!(done.code, 1);
    for id in ["tok_0000000000000003", "tok_0000000000000004"] {
        assert!(done.err.contains(id), "{}", done.err);
    }
    // A revoked token does not stand in the way of its name.
    let line = ["tokens", "revoke", "tok_0000000000000003", "--yes"];
    assert_eq!(type_in(&fake, &line).code, 0);
    let done = type_in(&fake, &["tokens", "revoke", "anna", "--yes"]);
    assert_eq!(done.out, "tok_0000000000000004 \"anna\": revoked\n");
}

#[test]
fn each_revoke_is_decided_for_itself_and_the_own_token_goes_last() {
    let fake = four();
    let line = [
        "tokens", "revoke", "first", "nobody", "ci", "--yes", "-o", "json",
    ];
    let done = type_in(&fake, &line);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("that is you"), "{}", done.err);
    assert_eq!(
        done.json(),
        json!([
            {
                "name": "nobody",
                "outcome": "failed",
                "failure_reason": "no token has the name \"nobody\", and it is no id (tok_ and \
                    16 letters or digits)\n  `muster tokens list` shows all tokens",
            },
            {
                "object_id": "tok_0000000000000002",
                "name": "ci",
                "outcome": "revoked",
                "revoked_at": "2027-01-15T08:00:00Z",
            },
            {
                "object_id": "tok_0000000000000001",
                "name": "first",
                "outcome": "failed",
                "failure_reason": "the last valid admin token",
            },
        ])
    );
}

#[test]
fn a_pasted_token_is_refused_and_not_echoed() {
    let fake = four();
    let secret = crate::keys::mint(crate::keys::Kind::AdminToken).unwrap();
    let done = type_in(&fake, &["tokens", "revoke", secret.expose(), "--yes"]);
    assert_eq!((done.code, done.out.as_str()), (2, ""));
    let id = format!("Its id is tok_{}", secret.id);
    assert!(done.err.contains(&id), "{}", done.err);
    assert!(!done.err.contains(&secret.expose()[21..]), "{}", done.err);
}
