//! The command of `lock run`, as a process of its own.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal as Number, test_kill_process_group},
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Stream, SignalKind, signal},
};

use crate::{
    failure::{Failure, Result},
    signal::Signal,
    signals::Target,
};

/// A command that runs, with the streams of this program.
///
/// On a terminal it stays in the terminal's process group, so that it may read there and Ctrl-C reaches it.
/// Elsewhere it gets a group of its own. A signal that is passed on then also reaches the processes that the
/// command started, unless they left the group.
pub(super) struct Running {
    child: Child,
    /// None once no process is left: the system may have given the number to another process by then.
    target: Option<Target>,
}

impl Running {
    pub(super) fn start(command: &[OsString], variables: &[(&str, OsString)]) -> Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::usage("there is no command to run"));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        let has_group = !has_terminal();
        if has_group {
            command.process_group(0);
        }
        let child = command.spawn().map_err(|error| Failure::not_started(shown(program), &error))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let target = pid.map(if has_group { Target::Group } else { Target::Process });
        Ok(Self { child, target })
    }

    /// Waits for the end of the command and returns its exit code as a shell would. The future may be dropped
    /// and created again.
    pub(super) async fn ended(&mut self) -> Result<u8> {
        let status = self.child.wait().await;
        if let Some(Target::Process(_)) = self.target {
            self.target = None;
        }
        status.map(code).map_err(|error| Failure::failed(format!("Failed to wait for the command: {error}")))
    }

    /// Passes on a request to stop. On a terminal Ctrl-C is not passed on: the terminal sends it to the whole
    /// process group, so the command has received it already.
    pub(super) fn stop(&self, request: Signal) {
        match request {
            Signal::Interrupt if matches!(self.target, Some(Target::Process(_))) => {}
            Signal::Interrupt => self.send(Number::INT),
            Signal::Terminate => self.send(Number::TERM),
        }
    }

    pub(super) fn send(&self, number: Number) {
        if let Some(target) = self.target {
            target.send(number);
        }
    }

    /// The process or group that receives its signals.
    pub(super) fn target(&self) -> Option<Target> {
        self.target
    }

    /// Returns whether the command has left processes behind in its process group. Call it after the command
    /// has ended: the system does not reuse the number of the group while a process is in it.
    pub(super) fn has_left_others(&mut self) -> bool {
        let Some(Target::Group(group)) = self.target else { return false };
        let is_there = test_kill_process_group(group) != Err(Errno::SRCH);
        if !is_there {
            self.target = None;
        }
        is_there
    }
}

/// The signals that are passed on besides the requests to stop.
pub(super) struct Others(Vec<(Stream, Number)>);

impl Others {
    pub(super) fn listen() -> Result<Self> {
        let deaf = |error: io::Error| Failure::failed(format!("Failed to listen for signals: {error}"));
        let kinds = [
            (SignalKind::hangup(), Number::HUP),
            (SignalKind::quit(), Number::QUIT),
            (SignalKind::user_defined1(), Number::USR1),
            (SignalKind::user_defined2(), Number::USR2),
        ];
        let streams = kinds.into_iter().map(|(kind, number)| Ok((signal(kind).map_err(deaf)?, number)));
        streams.collect::<Result<_>>().map(Self)
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) -> Number {
        std::future::poll_fn(|context| {
            for (stream, number) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Returns the exit code, or 128 plus the number of the signal that ended the process, as a shell does.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|number| 128 + number));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

fn has_terminal() -> bool {
    io::stdin().is_terminal() || io::stdout().is_terminal() || io::stderr().is_terminal()
}

fn shown(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}
