//! Runs cells in processes of their own.

use std::{
    env, io,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crate::{arguments::Order, cell::Found, disk::Ground, run::Stop};

/// How often a quick run checks whether a cell has ended: rarely enough not to disturb it.
const PATIENCE: Duration = Duration::from_millis(5);

/// Measures one cell. It is killed when the time of a quick run is over.
pub(crate) fn cell(ground: &Ground, order: &Order) -> Result<Found, Stop> {
    ground.settle();
    let failed =
        |reason: String| Stop::Failed(format!("{} of {} failed: {reason}", order.scenario, order.peer));
    let io = |error: io::Error| failed(error.to_string());
    let mut command = Command::new(program().map_err(failed)?);
    let mut child = command.args(order.arguments()).stdout(Stdio::piped()).spawn().map_err(io)?;
    // The one line of output fits into the pipe, so it need not be read before the process ends.
    while let Some(left) = ground.time_left()
        && child.try_wait().map_err(io)?.is_none()
    {
        if left.is_zero() {
            child.kill().and_then(|()| child.wait()).map_err(io)?;
            return Err(Stop::NoTime);
        }
        thread::sleep(left.min(PATIENCE));
    }
    let output = child.wait_with_output().map_err(io)?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}

/// Returns the path of this program.
pub(crate) fn program() -> Result<PathBuf, String> {
    env::current_exe().map_err(|error| format!("this program does not know where it is: {error}"))
}
