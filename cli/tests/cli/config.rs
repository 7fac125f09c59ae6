//! `config get` and `config set`.

use crate::support::{Place, document};
use serde_json::json;

#[test]
fn setting_is_the_default_of_its_flag() {
    let place = Place::with_store();
    place.save("greet", "1").succeeds();
    place.save("greet", "2").succeeds();
    let stale = || place.run_with_input(["save", "greet", "--if-generation", "1"], document("3"));
    stale().fails(13, "");
    assert_eq!(
        place.run(["config", "set", "on_conflict", "theirs"]).succeeds().out(),
        "on_conflict = theirs\n"
    );
    stale().succeeds();
    assert_eq!(place.run(["config", "get", "on_conflict"]).succeeds().out(), "theirs\n");
    place.run(["config", "set", "on_conflict", "--unset"]).succeeds();
    stale().fails(13, "");
    let none = place.run(["config", "get", "on_conflict"]).succeeds();
    assert_eq!(none.out(), "");
    assert!(none.err().contains("on_conflict is not set"), "{}", none.err());
}

#[test]
fn all_settings_are_listed_and_those_of_others_are_kept() {
    let place = Place::with_store();
    let file = place.path().join(".pflow/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["settings"]["team"] = json!({ "name": "data" });
    std::fs::write(&file, config.to_string()).unwrap();
    place.run(["config", "set", "lock_timeout", "30s"]).succeeds();
    let all = place.run(["config", "get"]).succeeds().out();
    assert_eq!(all, "lock_timeout = 30s\nteam = {\"name\":\"data\"}\n");
    let document = place.run(["config", "get", "--json"]).succeeds().json();
    assert_eq!(document["settings"], json!({ "lock_timeout": "30s", "team": { "name": "data" } }));
    let document = place.run(["config", "set", "lock_timeout", "5m", "--json"]).succeeds().json();
    assert_eq!(document["settings"], json!({ "lock_timeout": "5m" }));
}

#[test]
fn unknown_names_and_values_are_refused() {
    let place = Place::with_store();
    place.run(["config", "set", "on_conflct", "ours"]).fails(2, "'on_conflict'");
    place.run(["config", "set", "on_conflict", "mine"]).fails(2, "choose one of ask, ");
    place.run(["config", "set", "lock_timeout", "soon"]).fails(2, "lock_timeout");
    place.run(["config", "set", "on_conflict"]).fails(2, "VALUE");
    place.run(["config", "set", "on_conflict", "ours", "--unset"]).fails(2, "--unset");
    Place::empty().run(["config", "get"]).fails(10, "there is no store");
}
