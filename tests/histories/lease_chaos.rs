//! Sixteen clients acquire leases on a bucket behind a network that loses replies and delivers writes late,
//! work under them, pause for longer than they last, and die: their futures are dropped at any point, and
//! requests that they sent continue.
//!
//! The clients are tasks of this process, each with a handle of its own. So no client can see that a holder
//! is dead, as on another machine, and its locks are free only when they expire. The waiters' clock runs
//! faster than the leases' own, so takeovers come early, and live holders lose their leases too.
//!
//! `PFLOW_TEST_LEASE_SECONDS` sets the duration (default 4), `PFLOW_TEST_SEED` the random choices.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::lease_support::{
    Client, Life, Line, WORKFLOWS, check, duration, take_in_the_end, text_of, workflow,
};
use futures::future::join_all;
use pflow_store::{
    Store, StoreBuilder,
    backend::{Environment, ManualEnvironment, StorageBackend},
    object::{ObjectBackend, ObjectOptions, ObjectUrl},
};
use pflow_test_endpoints::{Fault, FaultPlan, Proxy, s3_variables};
use pflow_testkit::{BucketServer, Hasty, Remote, chain, damaged, seed};

const CLIENTS: u64 = 16;

/// How many times at most the clients work, until enough has happened.
const ROUNDS: u64 = 5;
/// By the waiters' clock, which runs `HASTE` times faster than real time.
const LEASE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(400);
const HASTE: u32 = 10;

fn open(url: &ObjectUrl, endpoint: Option<&str>, server: &BucketServer) -> Arc<dyn StorageBackend> {
    let variables =
        endpoint.map_or_else(|| server.variables.clone(), |url| s3_variables(url, &server.bucket));
    let options = ObjectOptions::new().variables(variables);
    Arc::new(Remote(Arc::new(ObjectBackend::open(url, options, Hasty::new(HASTE)).unwrap())))
}

fn on(backend: Arc<dyn StorageBackend>, clock: &Arc<dyn Environment>) -> StoreBuilder {
    Store::on(backend).environment(clock.clone()).clock_skew(Duration::ZERO)
}

/// Milliseconds by the waiters' clock.
fn now(environment: &Arc<dyn Environment>) -> u64 {
    u64::try_from(environment.monotonic().as_millis()).unwrap()
}

/// Runs one life after the other, each ended by a dropped future, until `end`.
async fn live(
    client: u64,
    backend: impl Fn() -> Arc<dyn StorageBackend>,
    clock: Arc<dyn Environment>,
    end: u64,
) -> BTreeMap<u64, Life> {
    let random = ManualEnvironment::new(seed().wrapping_add(client));
    let mut lives = BTreeMap::new();
    for life in 0.. {
        let number = life * CLIENTS + client;
        let said = Arc::new(Mutex::new(Vec::<Line>::new()));
        let heard = said.clone();
        let working = async {
            let Ok(store) = on(backend(), &clock).open().await else { return };
            let mut client = Client {
                store,
                number,
                random: ManualEnvironment::new(random.random()),
                lease: LEASE,
                poll: POLL,
                renews: false,
                now,
                tell: move |line| heard.lock().unwrap().push(line),
            };
            client.live(u64::MAX).await;
        };
        let patience =
            Duration::from_millis(1_000 + (random.random() % 20_000).min(end.saturating_sub(now(&clock))));
        tokio::select! {
            () = working => {}
            () = clock.sleep(patience) => {}
        }
        let died = Some(now(&clock));
        let lines = std::mem::take(&mut *said.lock().unwrap());
        lives.insert(number, Life { lines, died });
        if now(&clock) > end {
            break;
        }
    }
    lives
}

/// Returns whether enough happened for a test: leases were lost, and clients died that held some.
async fn chaos(seed: u64) -> bool {
    let server = BucketServer::chosen();
    let url = server.fresh_url();
    let clock: Arc<dyn Environment> = Hasty::new(HASTE);
    on(open(&url, None, &server), &clock).init().await.unwrap();
    let proxy = Proxy::start(&server.endpoint(), seed);
    proxy.set_plan(FaultPlan::each(0.01).with(Fault::DropReply, 0.05).with(Fault::LateWrite, 0.05));
    let end = now(&clock) + u64::try_from(duration().as_millis()).unwrap() * u64::from(HASTE);
    let living = (0..CLIENTS).map(|client| {
        let (url, server, endpoint, clock) =
            (url.clone(), BucketServer::chosen(), proxy.url(), clock.clone());
        tokio::spawn(async move { live(client, || open(&url, Some(&endpoint), &server), clock, end).await })
    });
    let mut numbered = BTreeMap::new();
    for lives in join_all(living).await {
        numbered.extend(lives.unwrap());
    }
    proxy.set_plan(FaultPlan::none());
    proxy.settled().await;

    let store = on(open(&url, None, &server), &clock).open().await.unwrap();
    let looks = take_in_the_end(&store, LEASE, POLL).await;
    let mut chains = BTreeMap::new();
    for number in 0..WORKFLOWS {
        let texts = chain(&store, &workflow(number)).await;
        chains.insert(workflow(number), texts.iter().map(|content| text_of(content)).collect());
    }
    assert_eq!(damaged(&store.verify().await.unwrap()), [""; 0], "seed {seed}");
    let lasts = u64::try_from(LEASE.as_millis()).unwrap();
    let checked = check(&Life::all(numbered), &chains, lasts, false)
        .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
    println!(
        "seed {seed}: {checked:?}; {looks} looks at most for the locks of the dead; {:?}",
        proxy.injected()
    );
    assert!(u128::from(looks) <= LEASE.as_millis() / (POLL.as_millis()) + 3, "{looks} looks, seed {seed}");
    proxy.injected().len() == 12 && checked.lost > 0 && checked.by_the_dead > 0 && checked.held_in_death > 2
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_clients_cannot_write_and_dead_clients_lose_locks() {
    let _turn = pflow_testkit::turn().await;
    // On a busy machine little happens in so short a time.
    for round in 0..ROUNDS {
        if chaos(seed() + round).await {
            return;
        }
    }
    panic!("too little happened in each of {ROUNDS} rounds");
}
