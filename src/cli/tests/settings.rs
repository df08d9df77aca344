//! `muster instances delete`, `muster settings` and `muster keys edit --if-revision`.

use clap::Parser;
use serde_json::json;

use super::fake::Fake;
use super::{Cli, three, type_in};

#[test]
fn each_instance_is_decided_for_itself_and_told() {
    let fake = Fake::start(Vec::new());
    let ids: Vec<String> = (0..60).map(|n| format!("inst_{n:016}")).collect();
    fake.state.lock().instances = ids[..59].to_vec();
    // More than one call takes; one is named twice, one is not there.
    let mut line = vec!["instances", "delete", &ids[0]];
    line.extend(ids.iter().map(String::as_str));
    let done = type_in(&fake, &line);
    assert_eq!(
        (done.code, done.out.lines().count()),
        (1, 59),
        "{}",
        done.out
    );
    assert!(done.out.contains("inst_0000000000000058 on host: deleted"));
    assert!(done.err.contains("no such instance"), "{}", done.err);
    assert!(fake.state.lock().instances.is_empty());

    let done = type_in(&fake, &["instances", "delete", &ids[0], "-o", "json"]);
    assert_eq!(done.code, 1);
    assert_eq!(
        done.json(),
        json!([{"object_id": ids[0], "name": "host", "outcome": "failed",
            "failure_reason": "there is no such instance"}])
    );
    let secret = fake.state.lock().token["Bearer ".len()..].to_owned();
    let done = type_in(&fake, &["instances", "delete", &secret]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(!done.err.contains(&secret));
}

#[test]
fn the_cleanup_is_shown_and_set_in_whole_hours() {
    let fake = Fake::start(Vec::new());
    let shown = type_in(&fake, &["settings", "show"]);
    assert!(shown.out.contains("after 24 hours"), "{}", shown.out);
    assert!(shown.out.contains("--forget-unavailable-after"));
    for (value, hours) in [("7d", 168), ("1h", 1), ("0", 0)] {
        let set = ["settings", "set", "instance-cleanup", value, "-o", "json"];
        let done = type_in(&fake, &set);
        let cleanup = json!({"age_out_duration": hours, "from_store": true});
        assert_eq!(done.json(), json!({ "instance_cleanup": cleanup }));
    }
    let shown = type_in(&fake, &["settings", "show"]);
    assert!(
        shown.out.contains("never  (set in the store"),
        "{}",
        shown.out
    );
    for wrong in ["90m", "7", "soon", "-1"] {
        let line = ["muster", "settings", "set", "instance-cleanup", wrong];
        assert!(Cli::try_parse_from(line).is_err(), "{wrong}");
    }
}

#[test]
fn an_edit_of_an_older_revision_is_refused() {
    let fake = three();
    let shown = type_in(&fake, &["keys", "show", "db"]);
    assert!(shown.out.contains("revision  5"), "{}", shown.out);
    let edit = |revision| {
        let line = [
            "keys",
            "edit",
            "db",
            "--name",
            "x",
            "--if-revision",
            revision,
        ];
        type_in(&fake, &line)
    };
    let refused = edit("4");
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("changed meanwhile"), "{}", refused.err);
    assert_eq!(edit("5").code, 0);
}
