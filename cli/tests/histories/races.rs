//! Many processes change one workflow, and no change is lost.

use std::thread;

use crate::support::{Place, Ran};
use serde_json::{Value, json};

const WRITERS: usize = 8;
const SAVES: usize = 50;

/// Reads the counter and saves it plus one, expecting the generation that was read, until that succeeds. The
/// document has nothing else, so two processes that count at the same time save the same bytes.
fn count_up(place: &Place) {
    loop {
        let loaded = place.run(["load", "counter", "--json"]).succeeds().json();
        let content: Value = serde_json::from_str(loaded["content"].as_str().unwrap()).unwrap();
        let next = json!({"count": content["count"].as_u64().unwrap() + 1});
        let generation = loaded["generation"].to_string();
        let saved = place
            .run_with_input(["save", "counter", "--if-generation", &generation, "--json"], next.to_string());
        match saved.code() {
            0 => {
                let saved = saved.json();
                assert_eq!(saved["generation"], loaded["generation"].as_u64().unwrap() + 1);
                assert_eq!(saved["unchanged"], false);
                return;
            }
            13 => assert_eq!(saved.json_error()["code"], "conflict"),
            _ => panic!("{}", saved.err()),
        }
    }
}

#[test]
fn no_update_is_lost() {
    let place = Place::with_store();
    place.run_with_input(["save", "counter", "--if-generation", "0"], r#"{"count": 1}"#).succeeds();
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (place, saves) = (&place, if writer == 0 { SAVES - 1 } else { SAVES });
            scope.spawn(move || (0..saves).for_each(|_| count_up(place)));
        }
    });
    let last = WRITERS * SAVES;
    assert_eq!(place.run(["show", "counter", "--json"]).json()["generation"], last);
    let load = |generation: &usize| {
        let loaded = place.run(["load", "counter", "--generation", &generation.to_string()]).succeeds();
        serde_json::from_str::<Value>(&loaded.out()).unwrap()
    };
    let generations: Vec<usize> = (1..=last).collect();
    let chain: Vec<Value> = thread::scope(|scope| {
        let parts: Vec<_> = generations
            .chunks(SAVES)
            .map(|part| scope.spawn(|| part.iter().map(load).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    });
    for (content, generation) in chain.iter().zip(&generations) {
        assert_eq!(content["count"], *generation, "each was built on the one before");
    }
    let verified = place.run(["verify", "--json"]).succeeds().json();
    assert_eq!((&verified["versions"], &verified["findings"]), (&last.into(), &json!([])));
}

#[test]
fn one_of_many_creates() {
    // Each with a document of its own, then all with the same.
    for content in [|racer: usize| format!("{{\"racer\": {racer}}}"), |_| "{\"racer\": 0}".to_owned()] {
        let place = Place::with_store();
        let ran: Vec<Ran> = thread::scope(|scope| {
            let racers: Vec<_> = (0..16)
                .map(|racer| {
                    let place = &place;
                    scope.spawn(move || {
                        let args = ["save", "prize", "--if-generation", "0", "--json"];
                        place.run_with_input(args, content(racer))
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let winners: Vec<usize> = (0..16).filter(|racer| ran[*racer].code() == 0).collect();
        assert_eq!(winners.len(), 1, "{:?}", ran.iter().map(Ran::code).collect::<Vec<_>>());
        assert_eq!(ran.iter().filter(|ran| ran.code() == 13).count(), 15);
        assert_eq!(place.run(["load", "prize"]).out(), content(winners[0]));
        assert_eq!(place.run(["verify", "--json"]).succeeds().json()["findings"], json!([]));
    }
}
