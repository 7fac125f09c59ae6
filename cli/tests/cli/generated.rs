//! `completions`, `man`, and what is suggested for a word that does not exist.

use crate::support::Place;

#[test]
fn completions_name_every_command() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]).succeeds().out();
        for word in ["save-all", "undelete", "acquire", "if-generation"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let document = place.run(["completions", "bash", "--json"]).succeeds().json();
    assert!(document["text"].as_str().unwrap().contains("complete"));
    place.run(["completions", "tcl"]).fails(2, "tcl");
}

#[test]
fn man_pages_are_of_the_program_and_of_each_command() {
    let place = Place::empty();
    let page = place.run(["man"]).succeeds().out();
    assert!(page.contains(".TH pflow-store 1") && page.contains("Exit codes"), "{page}");
    assert!(!page.contains("__doctor"), "{page}");
    let page = place.run(["man", "lock", "run"]).succeeds().out();
    assert!(page.contains(".TH pflow-store-lock-run 1") && page.contains("\\-\\-grace"), "{page}");
    place.run(["man", "lock", "pick"]).fails(2, "`lock pick`");
    place.run(["man", "__doctor-lock"]).fails(2, "__doctor-lock");
}

#[test]
fn near_ids_and_commands_are_suggested() {
    let place = Place::with_store();
    for id in ["greet", "greet-2", "greet-3", "greet-4", "report"] {
        place.save(id, id).succeeds();
    }
    for command in [&["load", "gret"][..], &["show", "gret"], &["delete", "gret", "-y"], &["edit", "gret"]] {
        let mut command = place.command(command);
        let missing =
            crate::support::Ran::of(command.env("EDITOR", "true")).fails(10, "did you mean `greet` or");
        assert!(missing.err().contains("see what there is with `list`"), "{}", missing.err());
        assert!(!missing.err().contains("report"), "{}", missing.err());
    }
    let missing = place.run(["load", "nightly"]).fails(10, "see what there is with `list`");
    assert!(!missing.err().contains("did you mean"), "{}", missing.err());
    place.run(["lst"]).fails(2, "'list'");
}
