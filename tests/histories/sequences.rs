//! Every sequence of a few steps of writers, crashes, people and maintenance: no acknowledged version is
//! lost, and no valid operation is refused.
//!
//! Three steps by default, `PFLOW_TEST_SEQUENCES=4` for more. The clocks of the two machines jump before
//! every step.

use crate::sequence_support::{Place, STEPS, Step, Tally, World};

fn depth() -> usize {
    std::env::var("PFLOW_TEST_SEQUENCES").ok().and_then(|depth| depth.parse().ok()).unwrap_or(3)
}

/// Two versions that the index knows.
const GROWN: [Step; 3] = [Step::Save, Step::Save, Step::Fold];

/// Runs the sequences from an empty store, and those with one step less from a grown one.
async fn every_sequence(place: Place, depth: usize) {
    let mut tally = Tally::default();
    sequences_from(&[], place, depth, &mut tally).await;
    sequences_from(&GROWN, place, depth - 1, &mut tally).await;
    println!("{place:?}: {tally}");
    assert!(
        tally.refused > 0 && tally.repaired > 0 && tally.hurt > 0,
        "the steps reach every outcome: {tally}"
    );
    assert_eq!(tally.unconfirmed > 0, place == Place::Bucket, "{tally}");
}

/// Runs every sequence of `depth` steps after the first ones; shorter sequences are prefixes of these.
async fn sequences_from(first: &[Step], place: Place, depth: usize, tally: &mut Tally) {
    let total = STEPS.len().pow(u32::try_from(depth).unwrap());
    for number in 0..total {
        let mut rest = number;
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..depth {
            steps.push(STEPS[rest % STEPS.len()]);
            rest /= STEPS.len();
        }
        let mut world = Box::pin(World::new(place)).await;
        for step in first {
            Box::pin(world.step(*step)).await;
        }
        for (at, step) in steps.iter().enumerate() {
            Box::pin(world.step(*step)).await;
            // Each prefix is checked once: by the sequence that continues with only the first step.
            if steps[at + 1..].iter().all(|later| *later == STEPS[0]) {
                Box::pin(world.check(&steps[..=at])).await;
            } else {
                Box::pin(world.check_versions(&steps[..=at])).await;
            }
        }
        world.count(tally);
    }
    println!("{place:?}: {total} sequences of {depth} steps after {first:?}");
}

#[tokio::test]
async fn no_sequence_on_a_disk_loses_a_version() {
    every_sequence(Place::Disk, depth()).await;
}

#[tokio::test]
async fn no_sequence_on_a_bucket_loses_a_version() {
    every_sequence(Place::Bucket, depth()).await;
}
