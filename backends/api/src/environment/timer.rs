//! Sleeping on any runtime, even one without a timer.

#![allow(clippy::disallowed_methods, reason = "a part of the one place that asks the machine")]

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

/// Wakes the sleepers of this process, from a thread of its own. Tokio's timer panics in a runtime that was
/// built without one, and there is no call to find out.
#[derive(Debug, Default)]
struct Timer {
    sleepers: Mutex<BTreeMap<Place, Waker>>,
    /// Signals that another sleeper is the first to wake.
    sooner: Condvar,
}

/// The end of a sleep, and a number that distinguishes sleeps with the same end.
type Place = (Instant, u64);

/// The running timer and its process: after a fork its thread does not exist.
static RUNNING: Mutex<Option<(u32, Arc<Timer>)>> = Mutex::new(None);
static SLEEPERS: AtomicU64 = AtomicU64::new(0);

/// Sleeps for `duration`.
pub(super) fn sleep(duration: Duration) -> Sleep {
    let number = SLEEPERS.fetch_add(1, Ordering::Relaxed);
    Sleep { place: Instant::now().checked_add(duration).map(|end| (end, number)), timer: None }
}

/// A sleep. Dropping it cancels the sleep.
#[derive(Debug)]
pub(super) struct Sleep {
    /// None: the end is beyond the representable time.
    place: Option<Place>,
    /// The timer at which the sleep is registered.
    timer: Option<Arc<Timer>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(place) = self.place else { return Poll::Pending };
        if Instant::now() >= place.0 {
            return Poll::Ready(());
        }
        match Timer::running() {
            Some(timer) => {
                timer.register(place, context.waker());
                self.timer = Some(timer);
            }
            // The system cannot start a thread now. Polling repeatedly costs more than a timer, but also ends
            // in time.
            None => context.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(timer), Some(place)) = (&self.timer, &self.place) {
            timer.lock().remove(place);
        }
    }
}

impl Timer {
    /// The timer of this process; none if its thread cannot be started.
    fn running() -> Option<Arc<Self>> {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some((of, timer)) = running.as_ref()
            && *of == process
        {
            return Some(timer.clone());
        }
        let timer = Arc::<Self>::default();
        let ran = timer.clone();
        thread::Builder::new().name("pflow-timer".to_owned()).spawn(move || ran.run()).ok()?;
        *running = Some((process, timer.clone()));
        Some(timer)
    }

    fn register(&self, place: Place, waker: &Waker) {
        let mut sleepers = self.lock();
        sleepers.insert(place, waker.clone());
        if sleepers.first_key_value().is_some_and(|(first, _)| *first == place) {
            self.sooner.notify_one();
        }
    }

    fn run(&self) {
        let mut sleepers = self.lock();
        loop {
            let now = Instant::now();
            match sleepers.first_entry() {
                Some(first) if first.key().0 <= now => {
                    let waker = first.remove();
                    // A waker runs code of its runtime, which may need this lock.
                    drop(sleepers);
                    waker.wake();
                    sleepers = self.lock();
                }
                Some(first) => {
                    let left = first.key().0.saturating_duration_since(now);
                    sleepers = self
                        .sooner
                        .wait_timeout(sleepers, left)
                        .map_or_else(|poisoned| poisoned.into_inner().0, |(sleepers, _)| sleepers);
                }
                None => sleepers = self.sooner.wait(sleepers).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Waker>> {
        self.sleepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt, future::join_all};

    use super::*;

    #[test]
    fn sleep_ends_in_time_on_a_runtime_without_a_timer() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let begun = Instant::now();
        let slept = runtime.block_on(join_all((0..8_u32).rev().map(|n| async move {
            sleep(Duration::from_millis(1) * n).await;
            assert!(begun.elapsed() >= Duration::from_millis(1) * n);
        })));
        assert_eq!(slept.len(), 8);
    }

    #[test]
    fn dropped_sleep_is_unregistered() {
        let timer = Timer::running().unwrap();
        let mut hour = Box::pin(sleep(Duration::from_secs(3600)));
        assert!((&mut hour).now_or_never().is_none());
        let place = hour.place.unwrap();
        assert!(timer.lock().contains_key(&place));
        drop(hour);
        assert!(!timer.lock().contains_key(&place));
        assert!(pin!(sleep(Duration::MAX)).now_or_never().is_none(), "beyond all counting");
    }
}
