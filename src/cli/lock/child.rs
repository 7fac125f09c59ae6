//! The command of `lock run`, as a process of its own.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
};

use rustix::process::{Pid, Signal as Number, kill_process};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal as Stream, SignalKind, signal},
};

use crate::cli::{
    failure::{Failure, Result},
    signals::Signal,
};

/// A command that runs. It has the streams and the process group of this program.
pub(super) struct Running {
    child: Child,
    /// None once it has been waited for: its pid may belong to somebody else then.
    pid: Option<Pid>,
}

impl Running {
    pub(super) fn start(command: &[OsString], variables: &[(&str, OsString)]) -> Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::usage("there is no command to run"));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (name, value)));
        let child = command.spawn().map_err(|error| Failure::not_started(shown(program), &error))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Ok(Self { child, pid })
    }

    /// How it ended, in the numbers of a shell. May be dropped and asked again.
    pub(super) async fn ended(&mut self) -> Result<u8> {
        let status = self.child.wait().await;
        self.pid = None;
        status.map(code).map_err(|error| Failure::failed(format!("Failed to wait for the command: {error}")))
    }

    /// Hands on a request to stop. What a terminal's Ctrl-C interrupts it interrupts in the whole process group, so the command has heard of it.
    pub(super) fn stop(&self, request: Signal) {
        match request {
            Signal::Interrupt if has_terminal() => {}
            Signal::Interrupt => self.send(Number::INT),
            Signal::Terminate => self.send(Number::TERM),
        }
    }

    pub(super) fn send(&self, number: Number) {
        if let Some(pid) = self.pid
            && let Err(error) = kill_process(pid, number)
        {
            // It may just have ended.
            tracing::debug!(%error, "the signal did not reach the command");
        }
    }
}

/// The signals that are handed on besides the requests to stop.
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

    /// The next one.
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

/// 128 and the number of the signal that ended it, as shells have it.
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
