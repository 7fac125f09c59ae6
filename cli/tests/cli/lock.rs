//! `lock`, and saves with and without a lease.

use crate::support::{Place, document};

#[test]
fn a_lock_keeps_others_out_until_it_is_released() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let args = ["lock", "acquire", "a", "--ttl", "30m", "--operation", "editing by hand", "--json"];
    let grant = place.run(args).succeeds().json();
    let lease = grant["lease_id"].as_str().unwrap();
    assert_eq!((&grant["id"], &grant["fence"]), (&"a".into(), &1.into()));
    assert!(grant["expires"].as_str().unwrap().ends_with('Z'));

    let refused = place.save("a", "two").fails(11, "a is locked by ");
    let message = refused.err();
    // What, who, doing what, since when, for how long, the lease, why it is not stale, what helps.
    let parts = [
        "a is locked by",
        "(pid ",
        "editing by hand",
        "since 2",
        "for another 29m",
        lease,
        "it is not stale",
        "hint: see `lock show a`",
    ];
    let places: Vec<_> =
        parts.iter().map(|part| message.find(part).unwrap_or_else(|| panic!("{part}: {message}"))).collect();
    assert!(places.is_sorted(), "{message}");
    place.run(["lock", "acquire", "a"]).fails(11, "a is already locked by");

    place.run_with_input(["save", "a", "--lease", lease], document("two")).succeeds();
    let mut by_variable = place.command(["delete", "a", "-y"]);
    let deleted = by_variable.env("PFLOW_LEASE", lease).output().unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    place.run(["undelete", "a", "--lease", lease]).succeeds();

    let released = place.run(["lock", "release", "a", lease, "--json"]).succeeds().json();
    assert_eq!(
        (&released["id"], &released["lease_id"], &released["fence"]),
        (&"a".into(), &lease.into(), &1.into())
    );
    place.run(["lock", "release", "a", lease]).fails(11, "the lock is free now");
    place.run_with_input(["save", "a", "--lease", lease], document("three")).fails(11, "is lost");
    place.save("a", "three").succeeds();
}

#[test]
fn a_lock_is_shown_in_the_order_that_a_person_asks() {
    let place = Place::with_store();
    assert_eq!(place.run(["lock", "show", "a"]).succeeds().out(), "a is not locked (fence 0)\n");
    let none = place.run(["lock", "show", "a", "--json"]).succeeds().json();
    assert_eq!((&none["locked"], &none["lease_id"]), (&false.into(), &serde_json::Value::Null));
    place.run(["lock", "acquire", "a", "--lease-id", "mine", "--operation", "x\ny"]).succeeds();
    let text = place.run(["lock", "show", "a"]).succeeds().out();
    let names: Vec<&str> = text.lines().skip(1).map(|line| line.get(2..12).unwrap().trim()).collect();
    assert_eq!(names, ["by", "operation", "since", "lasts", "lease", "stale", "to end it"], "{text}");
    assert!(text.starts_with("a is locked\n") && text.contains("no: its lease has not ended"), "{text}");
    assert!(
        text.contains("x\u{fffd}y")
            && text.contains("runs `lock release a mine`; by force: `lock break a mine`\n"),
        "{text}"
    );
    let json = place.run(["lock", "show", "a", "--json"]).succeeds().json();
    assert_eq!(
        (&json["locked"], &json["stale"], &json["operation"]),
        (&true.into(), &false.into(), &"x\ny".into())
    );
}

#[test]
fn what_does_not_exist_yet_can_be_locked_and_is_not_listed() {
    let place = Place::with_store();
    place.run(["lock", "acquire", "a", "--lease-id", "mine"]).succeeds();
    assert_eq!(place.run(["list", "--json"]).json()["workflows"], serde_json::json!([]));
    place.run(["show", "a"]).fails(10, "there is no workflow a");
    place.run_with_input(["save", "a", "--if-generation", "0"], document("x")).fails(11, "a is locked by");
    place.run_with_input(["save", "a", "--if-generation", "0", "--lease", "mine"], document("x")).succeeds();
}

#[test]
fn asking_again_under_the_same_name_is_safe() {
    let place = Place::with_store();
    let ask = || place.run(["lock", "acquire", "a", "--lease-id", "mine", "--json"]).succeeds().json();
    let (first, second) = (ask(), ask());
    assert_eq!((&first["fence"], &first["already_held"]), (&1.into(), &false.into()));
    assert_eq!((&second["fence"], &second["already_held"]), (&1.into(), &true.into()));
    let text = place.run(["lock", "acquire", "a", "--lease-id", "mine"]).succeeds().out();
    assert!(text.ends_with(", fence 1, held already\n"), "{text}");
}

#[test]
fn a_save_that_holds_locks_out_the_next_save() {
    let place = Place::with_store();
    let held = place.run_with_input(["save", "a", "--hold", "--ttl", "5m", "--json"], document("one"));
    let held = held.succeeds().json();
    assert_eq!((&held["generation"], &held["fence"]), (&1.into(), &1.into()));
    let lease = held["lease_id"].as_str().unwrap();
    place.save("a", "two").fails(11, "a is locked by");
    let text = place.run_with_input(["save", "a", "--lease", lease], document("two")).succeeds().out();
    assert_eq!(text.lines().count(), 1, "a save under a lease does not print that lease: {text}");
    let text = place.run_with_input(["save", "b", "--hold"], document("one")).succeeds().out();
    assert!(text.contains("\nb: locked until ") && text.contains(", fence 1\n"), "{text}");
    assert_eq!(place.run(["status", "--json"]).json()["locked"].as_array().unwrap().len(), 2);
}

#[test]
fn senseless_locks_are_usage_errors() {
    let place = Place::with_store();
    let long = "x".repeat(257);
    for (args, words) in [
        (&["lock", "acquire", "a", "--ttl", "0s"][..], "at least 1s"),
        (&["lock", "acquire", "a", "--ttl", "5"], "1h30m"),
        (&["lock", "acquire", "a", "--lease-id", "Mine!"], "is no lease id"),
        (&["lock", "acquire", "a", "--operation", ""], "operation: it is empty"),
        (&["lock", "acquire", "a", "--operation", &long], "at most 256"),
        (&["lock", "release", "a"], "<LEASE_ID>"),
        (&["lock", "release", "a", "../x"], "is no lease id"),
        (&["save", "a", "--ttl", "1h"], "--hold"),
        (&["save", "a", "--lease", ""], "is no lease id"),
    ] {
        place.run_with_input(args, document("x")).fails(2, words);
    }
    place
        .run_with_input(["save", "a", "--hold", "--operation", &long], document("x"))
        .fails(2, "at most 256");
    assert_eq!(place.run(["lock", "show", "a"]).out(), "a is not locked (fence 0)\n");
}

#[test]
fn a_lease_is_renewed_listed_and_broken() {
    let place = Place::with_store();
    let listed = || place.run(["lock", "list", "--json"]).succeeds().json()["locks"].clone();
    assert_eq!(listed(), serde_json::json!([]));
    assert_eq!(place.run(["lock", "list"]).succeeds().out(), "");
    place.run(["lock", "acquire", "a", "--lease-id", "mine", "--ttl", "1m"]).succeeds();
    let renewed = place.run(["lock", "renew", "a", "mine", "--ttl", "2h", "--json"]).succeeds().json();
    assert_eq!((&renewed["renewals"], &renewed["fence"]), (&1.into(), &1.into()));
    let text = place.run(["lock", "show", "a"]).succeeds().out();
    assert!(text.contains("renewed once") && text.contains("for another 1h 59m"), "{text}");
    assert!(text.contains("it was taken to outlast the process that took it"), "{text}");
    place.run(["lock", "renew", "a", "other"]).fails(11, "is lost");

    let locks = listed();
    assert_eq!((&locks[0]["id"], &locks[0]["why"]), (&"a".into(), &"not_ended".into()));
    assert_eq!((&locks[0]["process"], &locks[0]["mirror"]), (&"detached".into(), &"faithful".into()));
    let table = place.run(["lock", "list"]).succeeds().out();
    assert!(table.lines().nth(1).unwrap().ends_with("  mine"), "{table}");

    let before = place.dump();
    let planned = place.run(["lock", "break", "a", "mine", "-n", "--json"]).succeeds().json();
    assert_eq!((&planned["dry_run"], &planned["lease_id"]), (&true.into(), &"mine".into()));
    place.run(["lock", "break", "a", "mine"]).fails(2, "that needs a terminal");
    place.run(["lock", "break", "a", "other", "-y"]).fails(11, "is lost");
    place.is_as(&before);
    let broken = place.run(["lock", "break", "a", "mine", "-y"]).succeeds().out();
    assert!(broken.starts_with("a: broke the lease mine of "), "{broken}");
    let lost = place.run_with_input(["save", "a", "--lease", "mine"], document("x"));
    let lost = lost.fails(11, "it was broken by ");
    assert!(!lost.err().contains("--on-conflict"), "no policy brings it back: {}", lost.err());
    place.run(["lock", "break", "a", "mine", "-y"]).fails(11, "it was broken by ");
    place.save("a", "x").succeeds();
    assert_eq!(place.run(["status", "--json"]).json()["pending"], 2, "the break is recorded beside the save");
    place.run(["verify"]).succeeds();
    place.run(["lock", "acquire", "a", "--lease-id", "again"]).succeeds();
    let json = place.run(["lock", "break", "a", "again", "-y", "--json"]).succeeds().json();
    assert_eq!((&json["broken_lease"], &json["locked"]), (&"again".into(), &false.into()));
    let shown = place.run(["lock", "show", "a", "--json"]).succeeds().json();
    for (name, value) in shown.as_object().unwrap() {
        assert!(["mirror", "mended"].contains(&name.as_str()) || json[name] == *value, "{name}: {json}");
    }
}

#[test]
fn a_mirror_that_a_person_edited_is_mended_and_kept() {
    let place = Place::with_store();
    place.run(["lock", "acquire", "a", "--lease-id", "mine"]).succeeds();
    let mirror = place.path().join(".pflow/workflows/a/workflow.lock");
    let faithful = std::fs::read(&mirror).unwrap();
    std::fs::write(&mirror, "mine!").unwrap();
    place.run(["lock", "list"]).succeeds();
    let text = place.run(["lock", "show", "a"]).succeeds().out();
    let line = text.lines().find(|line| line.contains("mirror")).unwrap_or_else(|| panic!("{text}"));
    assert!(line.contains("was no mirror of ours; it is in line again; it is kept as "), "{line}");
    let kept = line.rsplit_once(" as ").unwrap().1;
    assert_eq!(std::fs::read(place.path().join(".pflow").join(kept)).unwrap(), b"mine!");
    assert_eq!(std::fs::read(&mirror).unwrap(), faithful);
    assert!(!place.run(["lock", "show", "a"]).succeeds().out().contains("mirror"));
    place.run(["verify"]).succeeds();
}

#[test]
fn a_wait_says_whom_it_waits_for_and_ends_when_it_was_to_end() {
    let place = Place::with_store();
    place.run(["lock", "acquire", "a", "--lease-id", "held", "--operation", "editing"]).succeeds();
    let refused = place.run(["lock", "acquire", "a", "--lock-timeout", "1s"]).fails(11, "a is locked by ");
    let err = refused.err();
    assert_eq!(err.matches("waiting for a: ").count(), 1, "{err}");
    let first = err.lines().next().unwrap();
    assert!(first.contains(", editing, for another ") && first.ends_with("; lease held"), "{err}");
    let refused = place.run(["lock", "acquire", "a", "--lock-timeout", "0s"]).fails(11, "a is locked by ");
    assert!(!refused.err().contains("waiting"), "no time is no wait: {}", refused.err());
    // A client that waits gets the lock when it is released.
    let mut command = place.command(["lock", "acquire", "a", "--wait", "--json"]);
    let waiting = command.spawn().unwrap();
    place.run(["lock", "release", "a", "held"]).succeeds();
    let grant = crate::support::Ran(waiting.wait_with_output().unwrap()).succeeds().json();
    assert_eq!(grant["fence"], 2);
}
