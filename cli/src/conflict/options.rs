use std::{str::FromStr, sync::Arc, time::Duration};

use clap::Args;
use pflow_store::{
    Conflict, Error, Saved, Store,
    conflict::{ConflictResolver, Policy},
};

use super::{
    patient::Patient,
    places::{lines, overlaps},
    talk::Stderr,
    terminal::Terminal,
};
use crate::{
    documents::Places,
    failure::{Failure, Result, with_causes},
    nearest,
    session::{Session, setting},
    time::Timeout,
};

/// How many changes a failure lists.
const SHOWN: usize = 10;

/// Options of every command that changes a workflow.
#[derive(Debug, Clone, Args)]
pub(crate) struct OnConflict {
    /// What to do about a conflict: fail, wait, ours, theirs, merge, override; ask, on a terminal, unless set
    #[arg(long, value_name = "POLICY", env = "PFLOW_ON_CONFLICT", hide_env_values = true)]
    on_conflict: Option<Choice>,

    /// How long to wait for the lock of another holder; 0s unless set, 30s with `wait`
    #[arg(long, value_name = "DURATION", env = "PFLOW_LOCK_TIMEOUT", hide_env_values = true)]
    lock_timeout: Option<Timeout>,
}

/// How a conflict is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// A question at the terminal. Without a terminal the change fails.
    Ask,
    Rule(Policy),
}

/// The resolver for the conflicts of one command, and its limit for waits.
#[derive(Debug, Clone)]
pub(crate) struct Decider {
    pub(crate) resolver: Arc<dyn ConflictResolver>,
    pub(crate) lock_timeout: Option<Duration>,
    /// The choice was to ask, but the program cannot ask a question (`Output::can_ask`).
    is_alone: bool,
}

impl OnConflict {
    /// Takes the policy of the flag, else of its variable, else of the setting of the store. Without any of
    /// them it asks, if there is a terminal.
    ///
    /// # Errors
    /// The store has a setting that is not a policy or not a duration.
    pub(crate) fn decider(&self, session: &Session<'_>, store: &Store) -> Result<Decider> {
        self.decide(session, store, session.output.can_ask())
    }

    /// The same for a batch, which never asks.
    pub(crate) fn decider_of_many(&self, session: &Session<'_>, store: &Store) -> Result<Decider> {
        self.decide(session, store, false)
    }

    fn decide(&self, session: &Session<'_>, store: &Store, asks: bool) -> Result<Decider> {
        let choice = match self.on_conflict {
            Some(choice) => Some(choice),
            None => setting(store, "on_conflict")?,
        };
        let lock_timeout = match self.lock_timeout {
            Some(timeout) => Some(timeout),
            None => setting(store, "lock_timeout")?,
        };
        let lock_timeout = lock_timeout.map(|Timeout(limit)| limit);
        let (then, usual): (Arc<dyn ConflictResolver>, Duration) = match choice {
            Some(Choice::Rule(policy)) => (Arc::new(policy), policy.lock_timeout()),
            _ if asks => (
                Arc::new(Terminal::new(Stderr::new(session.output.clone(), session.signals.clone()))),
                Duration::ZERO,
            ),
            _ => (Arc::new(Policy::Fail), Duration::ZERO),
        };
        let resolver = Arc::new(Patient::new(then, usual, session.output.clone()));
        let is_alone = !asks && !matches!(choice, Some(Choice::Rule(_)));
        Ok(Decider { resolver, lock_timeout, is_alone })
    }
}

impl Decider {
    /// Turns the result of a change into that of the command. A conflict lists what other writers have
    /// changed. If the program could not ask, the hint names the flag that would have resolved the conflict,
    /// if there is one: no policy brings back a lost lease.
    pub(crate) async fn judge(
        &self,
        store: &Store,
        result: std::result::Result<Saved, Error>,
    ) -> Result<Saved> {
        let conflict = match result {
            Err(Error::Conflict(conflict)) => conflict,
            Err(error) => return Err(nearest::explained(store, error).await),
            Ok(saved) => return Ok(saved),
        };
        let (changes, untold) = match store.what_changed(&conflict).await {
            Ok(changes) => (changes.unwrap_or_default(), None),
            // The conflict is reported anyway.
            Err(error) => (Vec::new(), Some(with_causes(&error))),
        };
        let is_decidable = !matches!(conflict.cause(), Conflict::LeaseLost { .. } | Conflict::Busy { .. });
        let places = Places::of(overlaps(&conflict), &changes);
        let mut failure = Failure { places, ..Failure::from(Error::Conflict(conflict)) };
        if failure.details.is_empty() {
            failure.details = lines(&changes, SHOWN);
        }
        failure.details.extend(untold);
        if self.is_alone && is_decidable {
            failure.hint =
                failure.hint.map(|hint| format!("{hint}; or decide beforehand with `--on-conflict`"));
        }
        Err(failure)
    }
}

/// Checks a value for `--on-conflict`.
pub(crate) fn check_choice(text: &str) -> std::result::Result<(), String> {
    text.parse::<Choice>().map(drop)
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "ask" => Ok(Self::Ask),
            word => word.parse().map(Self::Rule).map_err(|_| {
                let words: Vec<&str> = Policy::ALL.map(Policy::as_str).to_vec();
                format!("choose one of ask, {}", words.join(", "))
            }),
        }
    }
}
