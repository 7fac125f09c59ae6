//! However many workflows a bucket holds, the program stays small.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::support::{PROGRAM, Place, Ran, document};
use pflow_test_endpoints::S3Endpoint;

/// As many as a debug build saves in bearable time; PFLOW_TEST_WORKFLOWS sets another number.
const WORKFLOWS: usize = 1_000;
/// KiB of memory that the program gets, whatever their number.
const MOST: u64 = 200 << 10;

#[test]
fn saving_and_listing_many_takes_little_memory() {
    let workflows = std::env::var("PFLOW_TEST_WORKFLOWS").map_or(WORKFLOWS, |set| set.parse().unwrap());
    let (server, place) = (S3Endpoint::start(["probe"]), Place::empty());
    for n in 0..workflows {
        place.file(&format!("plans/w{n:06}.json"), document(&n.to_string()));
    }
    // What is over the limit of writable memory is refused by the kernel, and ends the program.
    let within = |kilobytes: u64, args: &[&str]| {
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                r#"ulimit -d "$0" && [ "$(ulimit -d)" = "$0" ] && exec "$@""#,
                &kilobytes.to_string(),
                PROGRAM,
            ])
            .args(args);
        command.env_clear().envs(server.variables("probe")).env("PFLOW_STORE", "s3://probe/plans");
        Ran::of(command.current_dir(place.path()))
    };
    within(MOST, &["init"]).succeeds();
    within(MOST, &["save-all", "plans"]).succeeds();
    let listed = within(MOST, &["list", "--json"]).succeeds().json();
    assert_eq!(listed["workflows"].as_array().unwrap().len(), workflows);
}
