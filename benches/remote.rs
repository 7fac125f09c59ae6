//! Measures how many round trips to a bucket a save and a load take, with 20 ms added to every request: as
//! ratios to the time of one request to the same server in the same run. Reports and fails if a ratio is
//! worse than promised.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a bench measures with a real clock, talks, and may panic"
)]

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use pflow_store::{Expect, SaveRequest, Store, WorkflowId, backend::Key, object::ObjectOptions};
use pflow_test_endpoints::{S3Endpoint, Shaping};

const LATENCY: Duration = Duration::from_millis(20);
const SAVES: u64 = 100;
const LOADS: usize = 1_000;
const IN_FLIGHT: usize = 32;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let kept = runtime.block_on(measure());
    if !kept {
        std::process::exit(1);
    }
}

async fn measure() -> bool {
    let server = S3Endpoint::start(["bench"]);
    let object = ObjectOptions::new().variables(server.variables("bench"));
    let store = Store::builder("s3://bench/plans").object_options(object).init().await.unwrap();
    let id = WorkflowId::parse("a").unwrap();
    let text = |n: u64| format!(r#"{{ "nodes": [ {{ "id": "n{n}", "type": "echo" }} ] }}"#);
    store.save(SaveRequest::new(id.clone(), text(0), Expect::Absent)).await.unwrap();
    server.set_shaping(Shaping::latency(LATENCY));

    let key = Key::parse("config.json").unwrap();
    let mut trips = Vec::new();
    for _ in 0..40 {
        trips.push(time(async { store.backend().get(&key).await.map(drop).unwrap() }).await);
    }
    let trip = median(&mut trips);
    println!("one request: {trip:?}");

    let mut saves = Vec::new();
    for n in 1..=SAVES {
        let request = SaveRequest::new(id.clone(), text(n), Expect::Generation(n));
        saves.push(time(async { store.save(request).await.map(drop).unwrap() }).await);
    }
    let all: Duration = saves.iter().sum();
    let mean = ratio(all / u32::try_from(SAVES).unwrap(), trip);
    let save = ratio(median(&mut saves), trip);
    // The copies follow the replies and are not part of a load.
    store.backend().get(&Key::parse("workflows/a/workflow.json").unwrap()).await.unwrap();

    let mut loads = Vec::new();
    let one_by_one = Instant::now();
    for _ in 0..LOADS {
        loads.push(time(async { store.load(&id).await.map(drop).unwrap() }).await);
    }
    let one_by_one = one_by_one.elapsed();
    let load = ratio(median(&mut loads), trip);
    let together = time(async {
        let loads = stream::iter(0..LOADS).map(|_| async { store.load(&id).await.map(drop).unwrap() });
        loads.buffer_unordered(IN_FLIGHT).collect::<()>().await;
    });
    let faster = ratio(one_by_one, together.await);
    store.close().await.unwrap();

    // A client that writes this fast sometimes waits for a fold. This figure is informative, not a promise.
    println!("a save is acknowledged within (mean, waits for folds included): {mean:.2}");
    let kept = [
        told("a save is acknowledged within (median)", save, save <= 2.3, "2.3 round trips"),
        told("a load takes (median)", load, load <= 1.2, "1.2 round trips"),
        told("1,000 loads, 32 in flight, are faster by", faster, faster >= 25.0, "25 times"),
    ];
    kept.into_iter().all(|kept| kept)
}

fn told(what: &str, ratio: f64, kept: bool, promise: &str) -> bool {
    println!("{what}: {ratio:.2} (promised: {promise}){}", if kept { "" } else { "  BROKEN" });
    kept
}

async fn time(work: impl Future<Output = ()>) -> Duration {
    let began = Instant::now();
    work.await;
    began.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ratio(time: Duration, of: Duration) -> f64 {
    time.as_secs_f64() / of.as_secs_f64()
}
