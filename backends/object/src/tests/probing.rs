//! What a probe costs, which servers it refuses and which not. Time is virtual, so no test waits.

use std::time::Duration;

use pflow_backend::{
    Prefix,
    probe::{self, Depth, Report},
};

use super::{
    simulated::{Nature, Simulated, Virtual},
    *,
};

/// The large object does not matter here and costs time in a debug build.
fn depth() -> Depth {
    Depth::new().large(4_096)
}

/// The report of the probe, and its duration.
async fn probed(nature: Nature, seed: u64) -> (Report, Arc<Simulated>, Duration) {
    let server = Simulated::new(nature, seed);
    let environment = Arc::new(Virtual::new(seed));
    let backend = simulated::backend(&server, environment.clone());
    let ground = Prefix::parse("ops/probe/1").unwrap();
    let report = probe::run(&backend, &*environment, &ground, &depth()).await.unwrap();
    (report, server, pflow_backend::Environment::monotonic(&*environment))
}

const NEAR: Duration = Duration::from_millis(1);
const FAR: Duration = Duration::from_millis(80);

fn seconds(tenths: u64) -> Duration {
    Duration::from_millis(100 * tenths)
}

#[tokio::test(start_paused = true)]
async fn correct_server_gets_103_requests_in_13_round_trips() {
    for (latency, most) in [(NEAR, seconds(1)), (FAR, seconds(12))] {
        let (report, server, took) = probed(Nature { latency, ..Nature::default() }, 1).await;
        assert!(report.is_safe() && report.broken().is_empty(), "{report:#?}");
        assert_eq!(server.cost(), (103, 13), "{:#?}", server.log());
        assert!(took <= most, "{took:?}");
        assert!(server.names().is_empty(), "{:?}", server.names());
    }
}

/// What a bucket with object versions keeps: every version of 15 objects and of the one that the backend
/// examines, and a marker for each delete, one of them of a key that never existed.
#[tokio::test(start_paused = true)]
async fn probe_leaves_few_object_versions() {
    let (_, server, _) = probed(Nature { latency: NEAR, ..Nature::default() }, 1).await;
    assert_eq!(server.changes(), (28, 16));
}

#[tokio::test(start_paused = true)]
async fn server_with_one_write_a_second_is_probed_within_bounds() {
    for latency in [NEAR, FAR, Duration::from_millis(400)] {
        let (report, server, took) =
            probed(Nature { latency, one_write_a_second: true, ..Nature::default() }, 1).await;
        assert!(report.is_safe(), "{latency:?}: {report:#?}");
        let (requests, trips) = server.cost();
        assert!(requests <= 120 && trips <= 25, "{latency:?}: {requests} in {trips}: {:#?}", server.log());
        assert!(took <= seconds(60) + 16 * latency, "{took:?}");
        let examined = |line: &&String| line.starts_with("DELETE") && line.contains("examined");
        let deletes = server.log().iter().filter(examined).count();
        assert_eq!(deletes, 2, "{latency:?}: too soon, and after a rest: {:#?}", server.log());
    }
}

#[tokio::test(start_paused = true)]
async fn unsafe_server_is_refused_within_60_requests() {
    let sound = Nature { latency: NEAR, ..Nature::default() };
    for (nature, sentence) in [
        (
            Nature { refuses_creates: true, refuses_updates: true, ..sound },
            "The endpoint https://test.invalid answered 412 8 times while the condition held (to write \
             ops/probe/1/races_and_conditions.1 in s3://plans/p) (create-twice)",
        ),
        (
            Nature { refuses_updates: true, ..sound },
            "The endpoint https://test.invalid answered 412 8 times while the condition held (to write \
             ops/probe/1/races_and_conditions.1 in s3://plans/p) (stale-update)",
        ),
        (
            Nature { is_weak: true, ..sound },
            "The endpoint https://test.invalid answered 412 8 times while the condition held: its ETags are weak (W/), which \
             never match; a proxy that compresses answers makes them weak (to write ops/probe/1/races_and_conditions.1 in \
             s3://plans/p) (stale-update)",
        ),
        (
            Nature { ignores_absent: true, ignores_is: true, ..sound },
            "It created a key that exists already (create-twice)",
        ),
        (
            Nature { ignores_is: true, ..sound },
            "It accepted an update of a version that was replaced (stale-update)",
        ),
        (
            Nature { loses_creates: 1.0, loses_updates: 1.0, ..sound },
            "It told 3 of 3 racers that they created one and the same key (racing-creates)",
        ),
    ] {
        let (report, server, took) = probed(nature, 1).await;
        assert_eq!(report.broken(), [sentence], "{report:#?}");
        let (requests, _) = server.cost();
        assert!(requests <= 60, "{requests}: {:#?}", server.log());
        assert!(took <= seconds(150), "{took:?}");
        assert!(server.names().is_empty(), "{:?}", server.names());
    }
}

#[tokio::test(start_paused = true)]
async fn writes_that_land_late_never_make_a_server_unsafe() {
    let (mut landed, mut changed, mut safe, mut most) = (0, 0, 0, 0);
    for seed in 0..200 {
        let nature =
            Nature { latency: FAR, lands_late: 0.15, lands_any_time: seed % 2 == 1, ..Nature::default() };
        let (report, server, _) = probed(nature, seed).await;
        assert!(report.broken().is_empty(), "{seed}: {report:#?}\n{:#?}", server.log());
        landed += server.landed_late().0;
        changed += server.landed_late().1;
        safe += u32::from(report.is_safe());
        most = most.max(server.cost().0);
    }
    println!(
        "{landed} landed late, {changed} of them changed something; {safe} of 200 are safe; at most {most} requests"
    );
    assert!(landed > 300 && changed > 100, "{landed}, {changed}");
    assert!(safe >= 190, "{safe} of 200");
    assert!(most < 300, "{most}");
}

#[tokio::test(start_paused = true)]
async fn server_that_loses_one_race_in_five_is_refused() {
    const SEEDS: u64 = 500;
    let sound = Nature { latency: NEAR, ..Nature::default() };
    for (nature, what) in [
        (Nature { loses_creates: 0.2, ..sound }, "creates"),
        (Nature { loses_updates: 0.2, ..sound }, "updates"),
        (
            Nature { loses_creates: 0.2, loses_updates: 0.2, loses_whole_races: true, ..sound },
            "races as a whole",
        ),
    ] {
        let mut refused = 0;
        for seed in 0..SEEDS {
            let (report, ..) = probed(nature, seed).await;
            refused += u64::from(!report.broken().is_empty());
        }
        assert!(refused * 100 >= SEEDS * 99, "{what}: {refused} of {SEEDS}");
    }
}
