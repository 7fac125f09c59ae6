//! Sixteen tasks swap the same few keys through several handles, and some drop their futures. The replies fit
//! one order of the operations.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::linear_support::{Answer, Asked, Client, Event, Told, Value, check};
use futures::future::{Either, join_all, select};
use pflow_store::backend::{StorageBackend, Version};
use pflow_testkit::{
    Kind, Site, every_backend,
    layers::{Careless, Carelessness},
    seed,
};

const TASKS: u64 = 16;
const HANDLES: usize = 4;
const KEYS: [&str; 3] = ["head", "folder/head", "folder/below/head"];

/// The replies that a task recorded, and the values of the versions that it saw.
type Notes = (Vec<(String, Asked, Answer, (u64, u64))>, HashMap<Version, Value>);

/// Runs `operations` one after the other. One in eight futures is dropped after some polls.
async fn work(mut client: Client, clock: Arc<AtomicU64>, operations: usize) -> Notes {
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let mut notes = Vec::new();
    for _ in 0..operations {
        let (key, asked) = client.choose();
        let patience = match client.below(16) {
            0 => client.below(4),
            1 => client.below(200),
            _ => u64::MAX,
        };
        // Memory never waits, so without a yield the tasks would not overlap.
        looks(client.below(3)).await;
        let began = tick();
        let answer = match select(Box::pin(client.ask(&key, asked)), Box::pin(looks(patience))).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Answer::Unknown,
        };
        let ended = if answer == Answer::Unknown { u64::MAX } else { tick() };
        notes.push((key, asked, answer, (began, ended)));
    }
    (notes, client.names().clone())
}

async fn looks(patience: u64) {
    for _ in 0..patience {
        tokio::task::yield_now().await;
    }
}

/// Runs the tasks and returns their history, with a final read of each key.
async fn history(handles: &[Arc<dyn StorageBackend>], operations: usize, seed: u64) -> Vec<Event> {
    let clock = Arc::new(AtomicU64::new(0));
    let handle = |number: u64| handles[number as usize % handles.len()].clone();
    let working = (0..TASKS).map(|number| {
        let client = Client::new(handle(number), &KEYS, number, seed);
        tokio::spawn(work(client, clock.clone(), operations))
    });
    let worked: Vec<Notes> = join_all(working).await.into_iter().map(Result::unwrap).collect();
    // After this no handle has a running operation.
    for handle in handles {
        handle.close().await.unwrap();
    }
    let mut last = Client::new(handle(0), &KEYS, TASKS, seed);
    let mut noted = Vec::new();
    for key in KEYS {
        let began = clock.fetch_add(1, Ordering::SeqCst);
        let answer = last.ask(key, Asked::Read).await;
        noted.push((key.to_owned(), Asked::Read, answer, (began, clock.fetch_add(1, Ordering::SeqCst))));
    }
    let names: HashMap<Version, Value> = worked.iter().flat_map(|(_, names)| names.clone()).collect();
    let noted = worked.into_iter().flat_map(|(notes, _)| notes).chain(noted);
    noted.filter_map(|(key, asked, answer, when)| answer.event(&key, asked, when, &names)).collect()
}

async fn whatever_is_told_fits_one_order(site: Site) {
    let operations = if matches!(site.kind, Kind::Disk | Kind::Bucket) { 150 } else { 250 };
    let mut handles = vec![site.raw.clone()];
    while handles.len() < HANDLES {
        handles.push(site.other_handle().await);
    }
    let events = history(&handles, operations, seed()).await;
    let looked = check(&events).unwrap_or_else(|broken| panic!("seed {}: {broken}", seed()));
    let told = |kind: fn(&Told) -> bool| events.iter().filter(|event| kind(&event.told)).count();
    let done = told(|told| matches!(told, Told::Done));
    let refused = told(|told| matches!(told, Told::Refused(_) | Told::Overtaken(_)));
    let unknown = told(|told| matches!(told, Told::Unknown));
    println!(
        "{:?}, seed {}: {} events, {done} done, {refused} refused, {unknown} unknown, {looked} positions",
        site.kind,
        seed(),
        events.len()
    );
    assert!(done > operations && refused > operations, "{done} done and {refused} refused are no race");
    assert!(unknown > 0 || matches!(site.kind, Kind::Memory | Kind::PlainMemory), "only memory never waits");
}

every_backend!(whatever_is_told_fits_one_order);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_that_breaks_its_word_is_found_out() {
    for fault in [Carelessness::IgnoresConditions, Carelessness::ForgetsWrites, Carelessness::ReadsWhatWas] {
        for every in [20, 200] {
            let site = Site::new(Kind::Memory).await;
            let careless: Arc<dyn StorageBackend> = Arc::new(Careless::new(site.raw.clone(), fault, every));
            let events = history(&[careless], 250, seed()).await;
            let words = check(&events).expect_err("not found out");
            assert!(words.contains("no order explains"), "{fault:?}, {every}: {words}");
        }
    }
}
