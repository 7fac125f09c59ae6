use std::time::Duration;

use chrono::{DateTime, Utc};
use pflow_backend::{Batch, Operation, Precondition, time_of_id};

use super::{Index, pending::Change};
use crate::{
    Result,
    stored::{Objects, StoredHead, layout, unreadable},
};

impl Index {
    /// Ends the attempts whose writers seem to be dead: records of generations that their workflow has not reached for long. Rewriting the
    /// head makes sure that such an attempt cannot land any more, so its record and its version are garbage from then on. Whoever is alive
    /// after all tries again with a new version id.
    ///
    /// Housekeeping: what fails here is tried again by a later fold.
    pub(super) async fn settle(&self, stored: &StoredHead, unreached: Vec<Change>) {
        let (now, patience) = (self.objects.now(), self.policy.settle_after);
        let overdue: Vec<Change> =
            unreached.into_iter().filter(|record| is_overdue(record, now, patience)).collect();
        if !overdue.is_empty() {
            let id = stored.head.id.clone();
            if let Err(error) = settle(&self.objects, stored, overdue).await {
                tracing::debug!(%id, %error, "not settled");
            }
        }
    }
}

/// By the clock of whoever made the record. One that is far ahead says as little as one that is far behind; being wrong costs a writer
/// another attempt and nothing else.
fn is_overdue(record: &Change, now: DateTime<Utc>, patience: Duration) -> bool {
    let age = time_of_id(record.version_id.as_str()).map(|made| now.signed_duration_since(made).abs());
    age.is_none_or(|age| age.to_std().is_ok_and(|age| age > patience))
}

async fn settle(objects: &Objects, stored: &StoredHead, overdue: Vec<Change>) -> Result<()> {
    let id = stored.head.id.clone();
    let key = layout::head(&id);
    let head = stored.head.next(objects.environment.new_id());
    let bytes = head.encode().map_err(|source| unreadable(&key, source))?;
    let swap = Operation::put(key, bytes)
        .when(stored.version.clone().map_or(Precondition::Absent, Precondition::Is));
    let garbage = overdue.into_iter().flat_map(|record| {
        let version = layout::version(&id, record.generation, &record.version_id);
        [record.key, version].map(Operation::delete)
    });
    // IMPORTANT: the head first. Before it is rewritten an attempt may still land and needs both.
    let batch = Batch::new().stage([swap]).stage(garbage);
    if objects.commit(batch, || format!("the settling of {id}")).await?.into_result().is_err() {
        tracing::debug!(%id, "the workflow changed while it was being settled");
    }
    Ok(())
}
