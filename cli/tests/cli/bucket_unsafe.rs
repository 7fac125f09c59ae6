//! Servers that do not keep what they promise get no store. By their quirks in this process, and real ones by
//! `PFLOW_TEST_UNSAFE_S3_ENDPOINTS`: `name=http://host:port`, separated by spaces. The bucket is `versions`
//! for names that end with `-versions`, else `probe`.

use std::collections::BTreeMap;

use crate::support::{Place, Ran};
use pflow_test_endpoints::{Kind, Quirks, S3Endpoint, s3_variables};

fn run(place: &Place, variables: &BTreeMap<String, String>, args: &[&str]) -> Ran {
    Ran::of(place.command(args).env("PFLOW_STORE", "s3://probe/plans").envs(variables))
}

#[test]
fn a_server_that_breaks_a_promise_is_refused_and_nothing_is_left_there() {
    for (quirks, words) in [
        (Quirks::s3rver(), "create-twice"),
        (Quirks { ignores_if_match: true, ..Quirks::NONE }, "stale-update"),
        (Quirks::s3s_fs(), "racing-"),
    ] {
        let (server, place) = (S3Endpoint::start(["probe"]).with_quirks(quirks), Place::empty());
        let variables = server.variables("probe");
        run(&place, &variables, &["init"]).fails(15, words);
        let refused = run(&place, &variables, &["--json", "init"]);
        assert_eq!(refused.json_error()["exit_code"], 15);
        assert_eq!(server.bucket("probe").keys(""), [""; 0], "{quirks:?}");
        let doctor = run(&place, &variables, &["doctor"]);
        assert_eq!(doctor.code(), 15, "{}", doctor.err());
        assert!(doctor.out().contains("BROKEN"), "{}", doctor.out());
        assert_eq!(server.bucket("probe").keys(""), [""; 0], "{quirks:?}");
    }
}

/// Servers with unusual but correct behaviour, which keep their promises.
#[test]
fn a_server_that_is_only_peculiar_is_trusted() {
    for quirks in [
        Quirks::NONE,
        Quirks::ceph_rgw_16(),
        Quirks::aws(),
        Quirks { unquoted_list_etags: true, ..Quirks::NONE },
    ] {
        let (server, place) = (S3Endpoint::start(["probe"]).with_quirks(quirks), Place::empty());
        let variables = server.variables("probe");
        run(&place, &variables, &["init"]).succeeds();
        let doctor = run(&place, &variables, &["doctor", "--json"]).succeeds().json();
        let names: Vec<_> =
            doctor["checks"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
        for name in [
            "create-twice",
            "stale-update",
            "racing-updates",
            "read-after-write",
            "list-after-write",
            "range",
            "metadata",
            "clock",
            "latency",
        ] {
            assert!(names.contains(&name), "{name} of {names:?}");
        }
        assert_eq!(doctor["safe"], true, "{quirks:?}: {doctor:#}");
    }
}

#[test]
fn the_verdict_is_kept_in_the_store_and_a_server_that_turned_bad_is_found_on_demand() {
    let (server, place) = (S3Endpoint::start(["probe"]), Place::empty());
    let variables = server.variables("probe");
    run(&place, &variables, &["init"]).succeeds();
    place.file("a.json", crate::support::document("1"));
    server.requests().reset();
    run(&place, &variables, &["save", "a", "a.json"]).succeeds();
    assert_eq!(
        server.requests().of_kind(Kind::ConditionalPut).len(),
        3,
        "no probe: {:#?}",
        server.requests().log()
    );
    server.set_quirks(Quirks::s3rver());
    run(&place, &variables, &["doctor"]).code();
    run(&place, &variables, &["save", "b", "a.json"]).fails(15, "create-twice");
    assert_eq!(
        run(&place, &variables, &["load", "a"]).succeeds().out(),
        crate::support::document("1"),
        "it can be read"
    );
    server.set_quirks(Quirks::NONE);
    run(&place, &variables, &["save", "b", "a.json"]).succeeds();
}

#[test]
fn real_servers_that_break_promises_are_refused() {
    let servers = std::env::var("PFLOW_TEST_UNSAFE_S3_ENDPOINTS").unwrap_or_default();
    if servers.is_empty() {
        println!("skipped: PFLOW_TEST_UNSAFE_S3_ENDPOINTS names no server");
    }
    for (name, url) in servers.split_whitespace().map(|server| server.split_once('=').unwrap()) {
        let (mut variables, place) = (s3_variables(url, "probe"), Place::empty());
        if name == "s3rver" {
            for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
                variables.insert(variable.to_owned(), "S3RVER".to_owned());
            }
        }
        if name.ends_with("-versions") {
            variables.insert("PFLOW_STORE".to_owned(), "s3://versions/plans".to_owned());
        }
        let refused = run(&place, &variables, &["init"]).fails(15, "");
        println!("{name}: {}", refused.err().lines().next().unwrap());
        run(&place, &variables, &["list"]).fails(10, "");
    }
}
