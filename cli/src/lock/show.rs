use std::ffi::OsString;

use clap::Args;
use pflow_store::lock::{Inspection, Mirror};

use super::mirror_word;
use crate::leases::{lasting, who};
use crate::{documents::Lock, failure::Result, input, output::printable, session::Session, time};

const MORE: &str = "\
If workflow.lock differs from the lease in the store, it is written again. If the
store did not write that file, it is kept beside it as workflow.lock.<sha256>.odd.";

#[derive(Debug, Args)]
#[command(after_help = MORE)]
pub(super) struct Show {
    /// The workflow
    id: OsString,
}

impl Show {
    /// Prints who holds the lock.
    pub(super) async fn run(self, session: &Session<'_>) -> Result<()> {
        let id = input::id(&self.id)?;
        let store = session.open().await?;
        let lock = session.reading(store.inspect_lock(&id)).await?;
        session.answer(&describe(&lock), &Lock::inspected(&lock))
    }
}

/// Returns the lines: the state of the lock, its holder, operation, times and lease, why it is stale or not,
/// and how to end it.
fn describe(lock: &Inspection) -> String {
    let state = &lock.state;
    let id = &state.id;
    let mirror = (lock.mirror != Mirror::Faithful).then(|| format!("  mirror     {}", mirrored(lock)));
    let lines: Vec<String> = match (&state.lease, state.standing) {
        (Some(lease), Some(standing)) => {
            let reason = standing.reason(lease, state.now);
            let (stale, end) = if state.live {
                (format!("no: {reason}"), "its holder runs")
            } else {
                (format!("yes: {reason}; the next save or lock takes over"), "any user runs")
            };
            let renewed = match lease.renewals {
                0 => String::new(),
                1 => ", renewed once".to_owned(),
                times => format!(", renewed {times} times"),
            };
            let until = time::moment(lease.expires);
            [
                format!("{id} is locked"),
                format!("  by         {}", who(lease)),
                format!("  operation  {}", lease.operation),
                format!("  since      {}{renewed}", time::moment(lease.acquired)),
                format!("  lasts      {}, until {until}", lasting(lease, state.now)),
                format!("  lease      {}, fence {}", lease.id, lease.fence),
                format!("  stale      {stale}"),
            ]
            .into_iter()
            .chain(mirror)
            .chain([format!(
                "  to end it  {end} `lock release {id} {}`; by force: `lock break {id} {}`",
                lease.id, lease.id
            )])
            .collect()
        }
        _ => std::iter::once(format!("{id} is not locked (fence {})", state.fence)).chain(mirror).collect(),
    };
    lines.iter().map(|line| printable(line).into_owned()).collect::<Vec<_>>().join("\n")
}

fn mirrored(lock: &Inspection) -> String {
    let word = mirror_word(lock.mirror);
    let kept = lock.kept.as_ref().map_or_else(String::new, |kept| format!("; it is kept as {kept}"));
    let now = if lock.mended { "; it is in line again" } else { "; it was left as it is" };
    format!("workflow.lock {word}{now}{kept}")
}
