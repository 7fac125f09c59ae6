//! Reads what an earlier process has saved. Its files are in the system's cache, as on a machine that uses
//! them.

use super::clients::{Span, Stopwatch, side_by_side};
use crate::{
    arguments::Order,
    scenario::{BATCH, FILLED, Scenario},
    work::{self, Pool, Random, Workload},
};

/// Makes the store that is read.
pub(super) async fn fill(order: &Order) -> Vec<Span> {
    let peer = order.peer.open(&order.folder).await;
    let (mut client, mut workload) = (peer.client(), Workload::new(0, Pool::new(order.seed)));
    let until = order.until(1, BATCH);
    let work = async move {
        let mut watch = Stopwatch::start(until);
        for from in (0..FILLED).step_by(BATCH) {
            let saves = workload.creations(BATCH.min(FILLED - from));
            watch.time(client.save_batch(saves)).await;
        }
        watch.stop()
    };
    let spans = side_by_side(order.peer.style(), [work]).await;
    peer.close().await;
    spans
}

pub(super) async fn loads(order: &Order) -> Vec<Span> {
    let peer = order.peer.open(&order.folder).await;
    let (mut client, mut random, until) = (peer.client(), Random(order.seed), order.until(1, 1));
    let work = async move {
        client.load(&any(&mut random)).await;
        let mut watch = Stopwatch::start(until);
        while watch.goes_on() {
            let id = any(&mut random);
            watch.time(client.load(&id)).await;
        }
        watch.stop()
    };
    let spans = side_by_side(order.peer.style(), [work]).await;
    peer.close().await;
    spans
}

/// Opens the store repeatedly. Closing it is not timed.
pub(super) async fn openings(order: &Order) -> Span {
    let mut random = Random(order.seed);
    let mut watch = Stopwatch::start(order.until(1, 1));
    while watch.goes_on() {
        let id = any(&mut random);
        let opening = async {
            let peer = order.peer.open(&order.folder).await;
            let mut client = peer.client();
            if order.scenario == Scenario::List {
                assert_eq!(client.list().await, FILLED);
            } else {
                client.load(&id).await;
            }
            peer
        };
        watch.time(opening).await.close().await;
    }
    watch.stop_without_pauses()
}

fn any(random: &mut Random) -> String {
    work::id(0, random.below(FILLED))
}
