//! `doctor` on a disk.

use std::fs;

use crate::support::Place;

const CHECKS: [&str; 17] = [
    "create-twice",
    "stale-update",
    "versions",
    "read-after-write",
    "racing-creates",
    "racing-updates",
    "list-after-write",
    "large-object",
    "deletes",
    "clock",
    "latency",
    "lock",
    "lock-between-processes",
    "sync",
    "rename",
    "names",
    "file-system",
];

#[test]
fn a_sound_disk_is_told_in_a_table_and_the_store_stays_as_it_was() {
    let place = Place::with_store();
    place.save("a", "one").succeeds();
    let before = place.dump();
    let told = place.run(["doctor"]).succeeds().out();
    let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..2], ["CHECK", "VERDICT"]);
    assert_eq!(
        rows.iter().skip(1).take(CHECKS.len()).map(|row| row[0]).collect::<Vec<_>>(),
        CHECKS,
        "{told}"
    );
    // The kind of disk is reported and changes nothing.
    let required = |row: &&Vec<&str>| !["clock", "names", "file-system"].contains(&row[0]);
    assert!(rows.iter().skip(1).take(CHECKS.len()).filter(required).all(|row| row[1] == "ok"), "{told}");
    assert!(told.trim_end().ends_with(".pflow keeps what a store needs"), "{told}");
    place.is_as(&before);
    place.run(["verify"]).succeeds();
}

#[test]
fn a_person_can_ask_for_a_longer_look() {
    let place = Place::with_store();
    let told = place.run(["doctor", "--thorough"]).succeeds().out();
    assert!(told.contains("128 races of 8 had one winner each") && told.contains("16777216 bytes"), "{told}");
}

#[test]
fn scripts_get_every_check() {
    let place = Place::with_store();
    // `-q`, because on a slow machine a note says that the probe takes a moment.
    let ran = place.run(["doctor", "--json", "-q"]).succeeds();
    assert_eq!(ran.err(), "");
    let json = ran.json();
    assert_eq!((&json["safe"], &json["place"], &json["left_behind"]), (&true.into(), &().into(), &().into()));
    assert!(json["location"].as_str().unwrap().ends_with(".pflow") && json["store_id"].is_string());
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.iter().map(|check| check["name"].as_str().unwrap()).collect::<Vec<_>>(), CHECKS);
    for check in checks {
        assert!(
            check["promise"].is_string() && check["detail"].is_string() && check["required"].is_boolean()
        );
        assert!(check["verdict"] == "kept" || check["required"] == false, "{check}");
    }
}

#[test]
fn a_folder_without_a_store_can_be_examined_and_then_have_one() {
    let place = Place::empty();
    place.run(["doctor"]).fails(10, "there is no store");
    fs::create_dir(place.path().join(".pflow")).unwrap();
    let json = place.run(["doctor", "--json"]).succeeds().json();
    assert_eq!((&json["safe"], &json["store_id"]), (&true.into(), &().into()));
    assert!(place.dump().keys().all(|path| path.to_str().unwrap().contains(".journal")));
    // If `doctor` is killed, the objects of its probe stay. They are not part of the store.
    place.file(".pflow/ops/probe/1/create-twice.1", "left");
    place.run(["init"]).succeeds();
    place.run(["verify"]).succeeds();
}

#[test]
fn a_foreign_folder_is_not_written_to() {
    let place = Place::empty();
    place.file(".pflow/registry.json", "{}");
    let before = place.dump();
    place.run(["doctor"]).fails(1, "is not a store of ours");
    place.is_as(&before);
    place.file(".pflow/config.json", r#"{"format":"pflow-store/2"}"#);
    let before = place.dump();
    place.run(["doctor"]).fails(17, "config.json");
    place.is_as(&before);
}

#[test]
fn the_second_process_says_whether_the_lock_is_held() {
    let place = Place::with_store();
    let ask = || place.run(["__doctor-lock", ".pflow"]).succeeds().out();
    assert_eq!(ask(), "free");
    let lock = fs::File::open(place.path().join(".pflow/.journal/lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(ask(), "held");
    assert!(!place.run(["--help"]).succeeds().out().contains("__doctor"));
}
