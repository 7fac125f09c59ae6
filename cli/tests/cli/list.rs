//! `list` and `search`.

use pflow_testkit::resealed;

use crate::support::{Place, Ran, document};

fn ids(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    let workflows = json["workflows"].as_array().unwrap().iter();
    workflows.map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

fn place() -> Place {
    let place = Place::with_store();
    for (id, name, tag, node) in
        [("a", "Zebra Über", "etl", "llm"), ("b", "apple", "daily", "shell"), ("c", "Mango", "etl", "shell")]
    {
        let text = format!(r#"{{"nodes": [{{"id": "n", "type": "{node}"}}]}}"#);
        place.run_with_input(["save", id, "--name", name, "--tag", tag], text).succeeds();
    }
    place
}

#[test]
fn a_list_is_filtered_sorted_and_cut() {
    let place = place();
    let list = |args: &[&str]| ids(&place.run(["list", "--json"].iter().chain(args)).succeeds());
    assert_eq!(list(&[]), ["a", "b", "c"]);
    assert_eq!(list(&["--tag", "ETL"]), ["a", "c"]);
    assert_eq!(list(&["--tag", "etl", "--node", "shell"]), ["c"]);
    assert_eq!(list(&["--sort", "name"]), ["b", "c", "a"]);
    assert_eq!(list(&["--sort", "modified", "--limit", "2"]), ["c", "b"]);
    assert_eq!(list(&["--deleted"]), [""; 0]);
    place.run(["delete", "b", "-y"]).succeeds();
    assert_eq!(
        (list(&[]), list(&["--deleted"])),
        (vec!["a".to_owned(), "c".to_owned()], vec!["b".to_owned()])
    );
    place.run(["list", "--sort", "colour"]).fails(2, "colour");
}

#[test]
fn a_search_finds_words_anywhere() {
    let place = place();
    let search = |args: &[&str]| ids(&place.run(["search", "--json"].iter().chain(args)).succeeds());
    assert_eq!(search(&["über zebra"]), ["a"]);
    assert_eq!(search(&["SHELL"]), ["b", "c"]);
    assert_eq!(search(&["shell", "--tag", "etl"]), ["c"]);
    assert_eq!(search(&["", "--since", "1h"]), ["a", "b", "c"]);
    assert_eq!(search(&["", "--since", "2999-01-01"]), [""; 0]);
    assert_eq!(search(&["", "--since", "2999-01-01T00:00:00+01:00"]), [""; 0]);
    place.run(["search", "x", "--since", "yesterday"]).fails(2, "2h or 7d");
    place.run(["search"]).fails(2, "<TEXT>");
}

#[test]
fn people_get_a_table() {
    let place = place();
    place.run_with_input(["save", "long-name", "--name", "two\nlines"], document("x")).succeeds();
    let text = place.run(["list"]).succeeds().out();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("ID         GEN  MODIFIED              NAME        TAGS"), "{text}");
    assert!(lines[1].starts_with("a          1    2") && lines[1].ends_with("Z  Zebra Über  etl"), "{text}");
    assert!(lines[4].ends_with("two\u{fffd}lines"), "{text}");
}

#[test]
fn an_empty_list_says_so_beside_the_data() {
    let place = Place::with_store();
    let ran = place.run(["list"]).succeeds();
    assert_eq!((ran.out(), ran.err()), (String::new(), "no workflows yet\n".to_owned()));
    let ran = place.run(["search", "x"]).succeeds();
    assert_eq!((ran.out(), ran.err()), (String::new(), "no workflow matches\n".to_owned()));
    let ran = place.run(["list", "--json"]).succeeds();
    assert_eq!((ran.json()["workflows"].clone(), ran.err()), (serde_json::json!([]), String::new()));
}

/// Workflows that cannot be read are part of the output, and the exit code says that the list is incomplete.
#[test]
fn unreadable_workflows_are_listed_and_have_a_code() {
    for (newer, code, state) in [(true, 17, "newer"), (false, 14, "damaged")] {
        let place = place();
        let head = place.path().join(".pflow/workflows/b/metadata.json");
        let text = std::fs::read_to_string(&head).unwrap();
        let changed =
            if newer { text.replace("pflow-head/1", "pflow-head/2") } else { text.chars().take(9).collect() };
        std::fs::write(&head, resealed("workflows/b/metadata.json", changed.into())).unwrap();
        for args in [&["list"][..], &["search", "zebra"], &["status"]] {
            let ran = place.run(args);
            assert_eq!(ran.code(), code, "{args:?}: {}", ran.err());
            assert!(ran.out().contains(&format!("b: {state}: ")), "{args:?}: {}", ran.out());
            let ran = place.run(args.iter().copied().chain(["--json"]));
            let unreadable = &ran.json()["unreadable"];
            assert_eq!(
                (&unreadable[0]["id"], &unreadable[0]["state"]),
                (&"b".into(), &state.into()),
                "{unreadable}"
            );
            assert_eq!(ran.json_error()["exit_code"], code);
        }
        assert!(ids(&place.run(["list", "--json"])).contains(&"a".to_owned()));
    }
}
