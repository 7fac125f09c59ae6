use std::{ffi::OsString, path::Path, time::Duration};

use clap::Args;
use pflow_store::{Error, LeaseGuard, LeaseId, LeaseRequest, Location, Store, WorkflowId};
use rustix::process::Signal as Number;

use super::{
    child::{Others, Running},
    waiting::Waiting,
};
use crate::{
    expectation::{LEASE, WORKFLOW},
    failure::{Failure, Result, exit, with_causes},
    input,
    session::Session,
    time::Ttl,
};

const MORE: &str = "\
The lease is renewed while the command runs, and released when it has ended.
The command finds PFLOW_LEASE, PFLOW_FENCE, PFLOW_WORKFLOW and PFLOW_STORE in
its environment: `pflow-store save` and `save-all` there save that workflow
under the lease, and other workflows without a lease.

If the lease is lost, or was not renewed for as long as it lasts, the command is
stopped (SIGTERM, and SIGKILL after --grace), because another holder may have
the lock. Signals are passed on; a second request to stop kills the command.
Without a terminal the signals reach the whole process group of the command; on
a terminal they reach the command alone.

Not covered: processes that the command leaves running, and a command whose
`lock run` was killed (SIGKILL). They continue while another holder may take the
lock. A save under the lease fails after it was released or taken over; for any
other work compare PFLOW_FENCE.

The exit code is that of the command (128 plus the number of the signal, if a
signal ended it). 125: this program failed, the lease was lost, or it was not
certainly held to the end. 126: the command could not be started. 127: there is
no such command.

Example:
  pflow-store lock run greet --lock-timeout 1m -- ./refresh.sh --all";

/// The pause between two checks whether the processes that the command started have ended.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Run {
    /// The workflow
    id: OsString,

    /// How long the lease lasts when this program cannot renew it any more
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    ttl: Ttl,

    /// What the lock is for, as `lock show` prints it; the name of the command unless set
    #[arg(long, value_name = "TEXT")]
    operation: Option<String>,

    #[command(flatten)]
    waiting: Waiting,

    /// How long the command may take to stop when the lease is lost or uncertain
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: Ttl,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    /// Runs the command under a lease.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        match self.run_command(session).await {
            // These exit codes say more than 125: a signal before the command began, or a command that could
            // not be started.
            Err(failure) if failure.exit >= exit::RUN_FAILED || failure.is_of_command() => Err(failure),
            Err(failure) => Err(Failure { exit: exit::RUN_FAILED, ..failure }),
            Ok(()) => Ok(()),
        }
    }

    async fn run_command(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let operation = self.operation.clone().unwrap_or_else(|| self.command_name());
        let lease_id = LeaseId::parse(session.environment.new_id()).map_err(Error::from)?;
        let left_behind = format!("the lease {lease_id}; see `lock show {id}`");
        let request = LeaseRequest::new(operation, self.ttl.0).id(lease_id);
        let attempt = || store.lock(&id, request.clone());
        let guard = self.waiting.until_granted(session, &store, &id, &left_behind, attempt).await?;
        // From here on a second request to stop reports the lease that is left behind.
        let begun = session.signals.begin(format!("the command under the lock of {id}"), Some(left_behind));
        let ended = match begun {
            Ok(()) => self.hold(session, &store, &id, &guard).await,
            Err(interrupted) => Err(interrupted),
        };
        session.signals.works(None);
        let certain = guard.check();
        let released = guard.release().await;
        session.signals.end();
        match (ended, released) {
            // The command went on to its end before it could be stopped, but not under the lease.
            (Ok(_), Err(Error::Conflict(lost))) => Err(Error::Conflict(lost).into()),
            // It is not known either whether another holder had the lock meanwhile.
            (Ok(_), Err(error)) if certain.is_err() => {
                let cause = Failure::from(error);
                let uncertain = certain.err().map_or(cause.clone(), uncertain);
                Err(Failure { message: format!("{}: {}", uncertain.message, cause.message), ..uncertain })
            }
            (ended, released) => {
                match released {
                    Ok(lease) if session.signals.caught().is_some() => {
                        session.output.note(&format!("released the lease {} on {id}", lease.id));
                    }
                    Ok(_) | Err(Error::Conflict(_)) => {}
                    Err(error) => {
                        let text = "the lease was not given back and ends by itself";
                        session.output.warn(&format!("{text}: {}", with_causes(&error)));
                    }
                }
                match ended? {
                    0 if session.signals.caught().is_none() => Ok(()),
                    code => Err(Failure::of_command(code)),
                }
            }
        }
    }

    /// Waits for the end of the command, or stops it once the lease is not certainly held any more.
    async fn hold(
        &self,
        session: &Session<'_>,
        store: &Store,
        id: &WorkflowId,
        guard: &LeaseGuard,
    ) -> Result<u8> {
        let lease = guard.lease();
        let variables = [
            (LEASE, lease.id.to_string().into()),
            ("PFLOW_FENCE", lease.fence.to_string().into()),
            (WORKFLOW, id.to_string().into()),
            ("PFLOW_STORE", place(session, store)?),
        ];
        let mut others = Others::listen()?;
        let mut running = Running::start(&self.command, &variables)?;
        session.signals.works(running.target());
        let mut asked = false;
        loop {
            tokio::select! {
                biased;
                ended = running.ended() => return ended,
                why = guard.uncertain() => return self.stop(session, running, why).await,
                number = others.next() => running.send(number),
                request = session.signals.first(), if !asked => {
                    asked = true;
                    running.stop(request);
                }
            }
        }
    }

    /// Stops the command and the processes that it started, because another holder may have the lock.
    async fn stop(&self, session: &Session<'_>, mut running: Running, why: Error) -> Result<u8> {
        let why = uncertain(why);
        session.output.warn(&format!("{}; the command is being stopped", why.message));
        running.send(Number::TERM);
        let environment = &session.environment;
        let begun = environment.monotonic();
        let left = || self.grace.0.saturating_sub(environment.monotonic().saturating_sub(begun));
        let has_ended = tokio::select! {
            ended = running.ended() => ended.map(|_| true)?,
            () = environment.sleep(self.grace.0) => false,
        };
        let mut goes_on = !has_ended || running.has_left_others();
        while has_ended && goes_on && !left().is_zero() {
            environment.sleep(LOOK.min(left())).await;
            goes_on = running.has_left_others();
        }
        if goes_on {
            session.output.warn("the command did not stop in time and is killed");
            running.send(Number::KILL);
            if !has_ended {
                running.ended().await?;
            }
        }
        Err(why)
    }

    /// Returns the last part of the path of the command, cut to the limit of an operation.
    fn command_name(&self) -> String {
        let program = self.command.first().map(Path::new).and_then(Path::file_name).unwrap_or_default();
        let name: String = program.to_string_lossy().chars().filter(|c| !c.is_control()).take(60).collect();
        if name.trim().is_empty() { "lock run".to_owned() } else { name }
    }
}

/// Returns the failure for a command that ran while its lease was uncertain.
fn uncertain(why: Error) -> Failure {
    let is_lost = matches!(why, Error::Conflict(_));
    let failure = Failure::from(why);
    if is_lost {
        return failure;
    }
    failure.with_hint("look at what the command has done, and whether the storage can be reached")
}

/// Returns the location of the store for the command. A path is absolute, because the command may change its
/// folder.
fn place(session: &Session<'_>, store: &Store) -> Result<OsString> {
    match session.location()? {
        Location::Folder(path) => std::path::absolute(&path)
            .map(Into::into)
            .map_err(|error| Failure::file("find", path.display(), &error)),
        _ => Ok(store.location().into()),
    }
}
