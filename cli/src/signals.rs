//! Ctrl-C and the request to terminate.

use std::{
    future::Future,
    process,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal as Number, kill_process, kill_process_group};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{
    failure::{Failure, Result},
    output::Output,
    signal::Signal,
};

/// Listens for requests to stop.
///
/// The command handles the first request: a read is abandoned ([`Signals::unless`]), a change is finished
/// ([`Signals::begin`]), and nothing new begins ([`Signals::check`]). The second request ends the process at
/// once.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    first: watch::Receiver<Option<Signal>>,
    stop: CancellationToken,
    stake: Arc<Mutex<Stake>>,
}

/// The change that the command makes.
#[derive(Debug, Default)]
struct Stake {
    change: Option<String>,
    done: bool,
    /// It waits for the answer of a person and writes nothing meanwhile.
    asks: bool,
    /// What a change that is abandoned may leave behind.
    left_behind: Option<String>,
    /// The command of `lock run`, which must not go on after this program has ended.
    works: Option<Target>,
}

/// The receiver of a signal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    /// One process.
    Process(Pid),
    /// A process group: a process and the processes that it started, unless they left the group.
    Group(Pid),
}

impl Target {
    pub(super) fn send(self, number: Number) {
        let sent = match self {
            Self::Process(pid) => kill_process(pid, number),
            Self::Group(pid) => kill_process_group(pid, number),
        };
        if let Err(error) = sent {
            // The process may just have ended.
            tracing::debug!(%error, target = ?self, "the signal did not arrive");
        }
    }
}

/// A question that is open. See [`Signals::asking`].
#[derive(Debug)]
pub(super) struct Asking(Arc<Mutex<Stake>>);

impl Signals {
    /// Begins to listen, in a task that lives as long as the runtime.
    pub(super) fn listen(output: &Output) -> Result<Self> {
        let deaf = |error| Failure::failed(format!("Failed to listen for signals: {error}"));
        let mut interrupts = signal(SignalKind::interrupt()).map_err(deaf)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(deaf)?;
        // A signal with a handler does not end the program: a write beyond the limit of the file size then
        // fails with an error. The command of `lock run` has the default again.
        drop(signal(SignalKind::from_raw(Number::XFSZ.as_raw())).map_err(deaf)?);
        let (tell, first) = watch::channel(None);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let stake = Arc::new(Mutex::new(Stake::default()));
        let (at_stake, output) = (Arc::clone(&stake), output.clone());
        tokio::spawn(async move {
            loop {
                let caught = tokio::select! {
                    _ = interrupts.recv() => Signal::Interrupt,
                    _ = terminations.recv() => Signal::Terminate,
                };
                if tell.borrow().is_some() {
                    let stake = at_stake.lock().unwrap_or_else(PoisonError::into_inner);
                    // IMPORTANT: before this program ends, because its lease may be taken over from then on.
                    if let Some(target) = stake.works {
                        target.send(Number::KILL);
                    }
                    let message = stake.in_doubt();
                    drop(stake);
                    output.failure(&Failure::interrupted(caught, message));
                    process::exit(i32::from(caught.exit()));
                }
                let writes = at_stake.lock().unwrap_or_else(PoisonError::into_inner).writes();
                tell.send_replace(Some(caught));
                stopped.cancel();
                if writes {
                    output.note(
                        "interrupted; what is being written is finished first (once more to leave at once)",
                    );
                }
            }
        });
        Ok(Self { first, stop, stake })
    }

    /// The first request to stop, if there has been one.
    pub(super) fn caught(&self) -> Option<Signal> {
        *self.first.borrow()
    }

    /// Returns a token that the first request cancels, for waits and questions within a change.
    pub(super) fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Fails after the first request.
    pub(super) fn check(&self) -> Result<()> {
        self.caught().map_or(Ok(()), |signal| Err(nothing_changed(signal)))
    }

    /// Waits for the first request to stop.
    pub(super) async fn first(&self) -> Signal {
        let mut first = self.first.clone();
        match first.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            // The listener has ended, so no request can arrive any more.
            _ => std::future::pending().await,
        }
    }

    /// Returns the result of an operation that changes nothing, unless the first request comes before it.
    pub(super) async fn unless<T>(&self, reading: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            biased;
            signal = self.first() => Err(nothing_changed(signal)),
            done = reading => Ok(done),
        }
    }

    /// Notes that the command begins a change, which the first request does not stop. `left_behind` says what
    /// may remain if the process is killed.
    pub(super) fn begin(&self, change: String, left_behind: Option<String>) -> Result<()> {
        self.check()?;
        let mut stake = self.stake.lock().unwrap_or_else(PoisonError::into_inner);
        *stake = Stake { change: Some(change), done: false, asks: false, left_behind, works: None };
        Ok(())
    }

    /// Sets the process that works under the lease of this command, or none. A second request kills it before
    /// this process ends.
    pub(super) fn works(&self, target: Option<Target>) {
        self.stake.lock().unwrap_or_else(PoisonError::into_inner).works = target;
    }

    /// Notes that the change waits for the answer of a person, until the result is dropped. The first request
    /// ends it meanwhile.
    pub(super) fn asking(&self) -> Asking {
        self.stake.lock().unwrap_or_else(PoisonError::into_inner).asks = true;
        Asking(Arc::clone(&self.stake))
    }

    /// Notes that the change has ended, with or without success.
    pub(super) fn end(&self) {
        self.stake.lock().unwrap_or_else(PoisonError::into_inner).done = true;
    }

    /// Notes that the change was abandoned before it wrote anything.
    pub(super) fn reset(&self) {
        *self.stake.lock().unwrap_or_else(PoisonError::into_inner) = Stake::default();
    }

    /// Returns whether a change has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.stake.lock().unwrap_or_else(PoisonError::into_inner).change.is_some()
    }

    /// Combines the result of the command with a request to stop that came before its end.
    pub(super) fn judge(&self, result: Result<()>) -> Result<()> {
        let Some(signal) = self.caught() else { return result };
        let stake = self.stake.lock().unwrap_or_else(PoisonError::into_inner);
        match (result, &stake.change) {
            (Err(failure), _) if failure.is_of_command() => Err(failure),
            (Err(failure), _) if failure.exit == signal.exit() => Err(failure),
            (Ok(()), Some(change)) => {
                Err(Failure::interrupted(signal, format!("interrupted, but {change} was finished first")))
            }
            (Ok(()), None) => Err(Failure::interrupted(signal, "interrupted at the very end")),
            (Err(failure), _) => Err(Failure {
                message: format!("interrupted; before that: {}", failure.message),
                ..Failure { code: "interrupted", exit: signal.exit(), ..failure }
            }),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).asks = false;
    }
}

impl Stake {
    fn is_open(&self) -> bool {
        self.change.is_some() && !self.done
    }

    fn writes(&self) -> bool {
        self.is_open() && !self.asks
    }

    fn in_doubt(&self) -> String {
        let Some(change) = self.change.as_ref().filter(|_| self.is_open()) else {
            return "left at once".to_owned();
        };
        let left =
            self.left_behind.as_ref().map_or_else(String::new, |left| format!("; it may leave {left}"));
        format!("left at once; whether {change} happened is unknown{left}")
    }
}

fn nothing_changed(signal: Signal) -> Failure {
    Failure::interrupted(signal, "interrupted; nothing was changed")
}
