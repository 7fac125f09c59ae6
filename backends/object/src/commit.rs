//! Commits a batch, stage by stage.

use futures::{StreamExt, stream};
use pflow_backend::{
    Batch, Commit, Conflict, Error, ErrorKind, Operation, Outcome, Position, Precondition, Result, Version,
    Versions, WriteKind,
};

use crate::{client::Client, late::Late, put, put::Written};

/// The result of an operation that succeeded: the version, for a put.
type Done = Option<Version>;

/// The result of one operation.
enum Ended {
    Done(Done),
    Refused { current: Option<Version>, overtaken: bool },
    Failed(Error),
}

/// Applies the changes of a checked batch.
///
/// The copies in the last stages are passed to `late` once all other stages are applied.
pub(crate) async fn commit(client: &Client, late: &Late, batch: Batch) -> Result<Commit> {
    let mut versions = Vec::with_capacity(batch.stages().len());
    let at_once = at_once(&batch);
    for (number, stage) in batch.stages().iter().enumerate().take(at_once) {
        match run(client, late, number, stage).await? {
            Ok(done) => versions.push(done),
            Err(refusal) => return Ok(refusal),
        }
    }
    for (number, stage) in batch.stages().iter().enumerate().skip(at_once) {
        let mut done = Vec::with_capacity(stage.len());
        for operation in stage {
            done.push(match operation {
                Operation::Put { key, bytes, .. } => late.put(key, bytes).await,
                // There are no deletes here: see `at_once`.
                Operation::Delete { key, .. } => {
                    put::delete(client, key).await.map_err(|error| after(error, number))?;
                    None
                }
            });
        }
        versions.push(done);
    }
    Ok(Commit::Committed(Versions::new(versions)))
}

/// Sends the one put of a batch once.
pub(crate) async fn attempt(client: &Client, batch: Batch) -> Result<Commit> {
    let Some((at, Operation::Put { key, bytes, when, .. })) = batch.operations().next() else {
        return Err(Error::not_applied(ErrorKind::InvalidInput, "An attempt is a put"));
    };
    Ok(match put::once(client, key, bytes, when).await? {
        Written::Stored(version) => Commit::Committed(Versions::new(vec![vec![Some(version)]])),
        Written::Refused { current, .. } => Commit::Conflict(Conflict::new(at, current, 0)),
    })
}

/// The number of stages, from the first on, that happen before the answer. The later stages have only
/// unconditional puts of copies. If the whole batch consists of copies, none is postponed, because its caller
/// wants exactly them.
fn at_once(batch: &Batch) -> usize {
    let may_follow = |operation: &Operation| {
        matches!(operation, Operation::Put { when: Precondition::Always, kind: WriteKind::Copy, .. })
    };
    let stages = batch.stages();
    let last = stages.iter().rposition(|stage| !stage.iter().all(may_follow));
    last.map_or(stages.len(), |last| last + 1)
}

/// Runs one stage: its operations side by side, all of them to completion.
///
/// IMPORTANT: no operation is cancelled because another one failed, because its outcome would become unknown.
/// The answer is the worst of all results: unknown, then overtaken or a conflict, then did not happen.
async fn run(
    client: &Client,
    late: &Late,
    stage: usize,
    operations: &[Operation],
) -> Result<std::result::Result<Vec<Done>, Commit>> {
    let width = client.options.max_in_flight;
    // Boxed, because otherwise the compiler cannot prove that futures over borrowed operations are `Send`.
    let running: Vec<_> = operations.iter().map(|it| Box::pin(one(client, late, it))).collect();
    let ended: Vec<Ended> = stream::iter(running).buffered(width).collect().await;
    let (mut done, mut refusal, mut failure) = (Vec::with_capacity(ended.len()), None, None);
    for (operation, ended) in ended.into_iter().enumerate() {
        let at = Position { stage, operation };
        match ended {
            Ended::Done(version) => done.push(version),
            Ended::Failed(error) if error.outcome() == Outcome::Unknown => return Err(error),
            Ended::Failed(error) => failure = failure.or(Some(error)),
            Ended::Refused { current, overtaken } => {
                let conflict = Conflict::new(at, current, stage);
                let met = if overtaken { Commit::Overtaken(conflict) } else { Commit::Conflict(conflict) };
                let is_first = refusal.is_none();
                let is_worse = overtaken && !matches!(refusal, Some(Commit::Overtaken(_)));
                if is_first || is_worse {
                    refusal = Some(met);
                }
            }
        }
    }
    match (refusal, failure) {
        (Some(refusal), _) => Ok(Err(refusal)),
        (None, Some(error)) => Err(after(error, stage)),
        (None, None) => Ok(Ok(done)),
    }
}

async fn one(client: &Client, late: &Late, operation: &Operation) -> Ended {
    // A copy of an earlier batch must not land on top of this write.
    late.settled(operation.key()).await;
    let answer = match operation {
        Operation::Put { key, bytes, when, kind } => put::put(client, key, bytes, when, *kind).await,
        Operation::Delete { key, .. } => match put::delete(client, key).await {
            Ok(()) => return Ended::Done(None),
            Err(error) => Err(error),
        },
    };
    match answer {
        Ok(Written::Stored(version)) => Ended::Done(Some(version)),
        Ok(Written::Refused { current, overtaken }) => Ended::Refused { current, overtaken },
        Err(error) => Ended::Failed(error),
    }
}

/// Sets how many stages were applied.
fn after(error: Error, applied: usize) -> Error {
    match error.outcome() {
        Outcome::NotApplied { .. } => error.with_outcome(Outcome::NotApplied { applied }),
        Outcome::Unknown => error,
    }
}

#[cfg(test)]
mod tests {
    use pflow_backend::Key;

    use super::*;

    #[test]
    fn only_copies_after_other_stages_are_written_after_the_answer() {
        let put = |name: &str| Operation::put(Key::parse(name).unwrap(), "x");
        let delete = |name: &str| Operation::delete(Key::parse(name).unwrap());
        let batch = Batch::new;
        for (batch, expected) in [
            (batch(), 0),
            (batch().stage([put("a").copy()]), 1),
            (batch().stage([put("a")]).stage([put("b").copy(), put("c").copy()]), 1),
            (batch().stage([put("a")]).stage([put("b").copy()]).stage([put("c").copy()]), 1),
            (batch().stage([put("a").copy()]).stage([put("b")]).stage([put("c").copy()]), 2),
            (batch().stage([put("a")]).stage([put("b").copy(), delete("c")]), 2),
            (batch().stage([put("a")]).stage([put("b").copy().absent()]), 2),
        ] {
            assert_eq!(at_once(&batch), expected, "{batch:?}");
        }
    }
}
