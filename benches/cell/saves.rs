//! Saves one by one from several clients, and in batches.

use std::sync::Arc;

use tokio::sync::Barrier;

use super::clients::{Span, Stopwatch, side_by_side};
use crate::{
    arguments::Order,
    scenario::BATCH,
    work::{Pool, Workload},
};

pub(super) async fn singles(order: &Order) -> Vec<Span> {
    let (count, pool) = (order.scenario.clients(), Pool::new(order.seed));
    let (until, start) = (order.until(count, 1), Arc::new(Barrier::new(count)));
    let peer = order.peer.open(&order.folder).await;
    let clients = (0..count).map(|number| {
        let (mut client, mut workload) = (peer.client(), Workload::new(number, Arc::clone(&pool)));
        let start = Arc::clone(&start);
        async move {
            // The first save is not timed, because it includes one-time setup.
            client.save(workload.save()).await;
            start.wait().await;
            let mut watch = Stopwatch::start(until);
            while watch.goes_on() {
                let save = workload.save();
                watch.time(client.save(save)).await;
            }
            watch.stop()
        }
    });
    let spans = side_by_side(order.peer.style(), clients).await;
    peer.close().await;
    spans
}

pub(super) async fn batches(order: &Order) -> Vec<Span> {
    let until = order.until(1, BATCH);
    let mut workload = Workload::new(0, Pool::new(order.seed));
    let peer = order.peer.open(&order.folder).await;
    let mut client = peer.client();
    let work = async move {
        // The first batch creates workflows, because there is nothing to replace yet.
        client.save_batch(workload.creations(BATCH)).await;
        let mut watch = Stopwatch::start(until);
        while watch.goes_on() {
            let saves = workload.batch(BATCH);
            watch.time(client.save_batch(saves)).await;
        }
        watch.stop()
    };
    let spans = side_by_side(order.peer.style(), [work]).await;
    peer.close().await;
    spans
}
