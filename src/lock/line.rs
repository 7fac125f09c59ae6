use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use futures::future::{Either, select};
use pflow_backend::Environment;
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::stored::WorkflowId;

/// Above so many lines, those that nobody stands in are looked for.
const FEW: usize = 64;

/// Those who wait for the locks of one store in this process: one line for each workflow.
///
/// Only the first in a line asks the storage, so a lock that many wait for costs as much as one that one waits for, and a release wakes one of them, who
/// has the lock before the next one looks. Nothing here is needed for correctness: other processes know nothing of it.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    lines: HashMap<WorkflowId, Weak<Line>>,
    /// How many there were when they were looked through last.
    kept: usize,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    /// Held by the first in line. Tokio's mutex serves in the order of asking, and whoever gives up leaves the line.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Something happened in this process that the first in line waits for. It keeps one wake-up for whoever comes next.
    wake: Notify,
}

/// The first place in a line, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Arc<Line>,
    _first: OwnedMutexGuard<()>,
}

impl Lines {
    /// The line for `id`.
    pub(super) fn of(&self, id: &WorkflowId) -> Arc<Line> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { lines, kept } = &mut *known;
        if let Some(line) = lines.get(id).and_then(Weak::upgrade) {
            return line;
        }
        // Not before there are twice as many: where all of them are stood in, a new one must not cost a look at all.
        if lines.len() >= FEW.max(kept.saturating_mul(2)) {
            lines.retain(|_, line| line.strong_count() > 0);
            *kept = lines.len();
        }
        let line = Arc::<Line>::default();
        lines.insert(id.clone(), Arc::downgrade(&line));
        line
    }

    /// Wakes the first in the line for `id`, if there is one.
    pub(super) fn wake(&self, id: &WorkflowId) {
        let line =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).lines.get(id).and_then(Weak::upgrade);
        if let Some(line) = line {
            line.wake.notify_one();
        }
    }
}

impl Line {
    /// Waits to become the first in line; none if that took longer than `limit`.
    pub(super) async fn turn(
        self: &Arc<Self>,
        environment: &dyn Environment,
        limit: Duration,
    ) -> Option<Turn> {
        let mine = |first| Turn { line: Arc::clone(self), _first: first };
        if let Ok(first) = Arc::clone(&self.turn).try_lock_owned() {
            return Some(mine(first));
        }
        match select(pin!(Arc::clone(&self.turn).lock_owned()), pin!(environment.sleep(limit))).await {
            Either::Left((first, _)) => Some(mine(first)),
            Either::Right(_) => None,
        }
    }
}

impl Turn {
    /// Waits for so long, or until something happens in this process; whether that was so.
    pub(super) async fn pause(&self, environment: &dyn Environment, pause: Duration) -> bool {
        match select(pin!(self.line.wake.notified()), pin!(environment.sleep(pause))).await {
            Either::Left(_) => true,
            Either::Right(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::ManualEnvironment;

    use super::*;

    fn id(name: &str) -> WorkflowId {
        WorkflowId::parse(name).unwrap()
    }

    #[tokio::test]
    async fn the_line_is_served_in_order_and_forgets_who_gives_up() {
        let environment = Arc::new(ManualEnvironment::new(1).stepped());
        let lines = Arc::new(Lines::default());
        let line = lines.of(&id("a"));
        let first = line.turn(environment.as_ref(), Duration::ZERO).await.unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (n, limit) in [(0, 9), (1, 1), (2, 9)] {
            let (line, served, environment) = (lines.of(&id("a")), served.clone(), environment.clone());
            tasks.push(tokio::spawn(async move {
                let turn = line.turn(environment.as_ref(), Duration::from_secs(limit)).await;
                served.lock().unwrap().push((n, turn.is_some()));
            }));
            tokio::task::yield_now().await;
        }
        environment.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
        drop(first);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*served.lock().unwrap(), [(1, false), (0, true), (2, true)]);
    }

    #[tokio::test]
    async fn a_wake_up_is_kept_for_whoever_comes_next() {
        let environment = ManualEnvironment::new(1).stepped();
        let lines = Lines::default();
        lines.wake(&id("a"));
        let line = lines.of(&id("a"));
        lines.wake(&id("b"));
        lines.wake(&id("a"));
        let turn = line.turn(&environment, Duration::ZERO).await.unwrap();
        assert!(turn.pause(&environment, Duration::from_secs(1)).await);
    }

    #[test]
    fn lines_that_nobody_stands_in_are_forgotten() {
        let lines = Lines::default();
        let kept = lines.of(&id("kept"));
        for n in 0..FEW * 3 {
            lines.of(&id(&format!("w{n}")));
        }
        assert!(lines.0.lock().unwrap().lines.len() <= FEW);
        assert!(Arc::ptr_eq(&kept, &lines.of(&id("kept"))));
    }

    #[test]
    fn many_lines_that_are_stood_in_are_looked_through_rarely() {
        let lines = Lines::default();
        let mut looks = std::collections::BTreeSet::new();
        let stood_in: Vec<_> = (0..FEW * 8)
            .map(|n| {
                let line = lines.of(&id(&format!("w{n}")));
                looks.insert(lines.0.lock().unwrap().kept);
                line
            })
            .collect();
        assert_eq!(stood_in.len(), FEW * 8);
        assert_eq!(looks.into_iter().collect::<Vec<_>>(), [0, FEW, FEW * 2, FEW * 4]);
    }
}
