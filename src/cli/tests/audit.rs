//! `muster audit …` against the fake.

use super::fake::{Fake, time};
use super::type_in;
use crate::proto::admin::v1::AuditRecord;

fn record(id: u64, action: &str, result: &str) -> AuditRecord {
    AuditRecord {
        id,
        at: time(1_700_000_000),
        actor: "ci (tok_1)".into(),
        action: action.into(),
        target: "key_1".into(),
        detail: "name: \u{1b}[2J".into(),
        from: "192.0.2.7:4711".into(),
        door: "rest".into(),
        gateway_name: "one".into(),
        result: result.into(),
        reason: match result {
            "ok" => String::new(),
            _ => "it is still valid".into(),
        },
    }
}

fn three() -> Fake {
    let fake = Fake::start(Vec::new());
    fake.state.lock().audit = vec![
        record(3, "key.delete", "refused"),
        record(2, "key.edit", "ok"),
        record(1, "key.create", "ok"),
    ];
    fake
}

#[test]
fn the_trail_is_shown_over_all_pages_and_harmless() {
    let fake = three();
    let done = type_in(&fake, &["audit", "list"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out.lines().count(), 4, "{}", done.out);
    for word in ["WHO", "ci (tok_1)", "192.0.2.7:4711", "it is still valid"] {
        assert!(done.out.contains(word), "{word}: {}", done.out);
    }
    assert!(!done.out.contains('\u{1b}'));
    let done = type_in(&fake, &["audit", "list", "-n", "1"]);
    assert_eq!(done.out.lines().count(), 2);
    assert!(done.err.contains("older"), "{}", done.err);
}

#[test]
fn filters_go_along_and_json_has_all() {
    let fake = three();
    let done = type_in(
        &fake,
        &["audit", "list", "--result", "refused", "-o", "json"],
    );
    let rows = done.json();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    assert_eq!(rows[0]["action"], "key.delete");
    assert_eq!(rows[0]["at"], "2023-11-14T22:13:20Z");
    let done = type_in(&fake, &["audit", "list", "--action", "nothing"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
}
