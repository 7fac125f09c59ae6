//! Which of many writers folds.

use pflow_backend::{Batch, Operation, Version};
use serde::Serialize;

use super::Index;
use crate::{
    Error, Result,
    format::{Kind, encode_line, keys},
    register::{Around, Swapped, swap},
    repo::unreadable,
};

/// A claim is taken over when this many times the records are there at which a fold is due: the fold that was
/// claimed has not come, or is too slow for those who write meanwhile, and who then fold and wait themselves.
const OVERDUE: usize = 3;

/// What is in `ops/fold`.
#[derive(Debug, Serialize)]
struct FoldClaim {
    format: String,
    /// Fresh for every claim.
    nonce: String,
}

/// Where a fold costs requests, of all the writers that find it due one at a time folds.
///
/// Invariant: a claim saves work and nothing else. Folds at the same time do no harm, so a claim that is
/// lost, deleted or taken over costs requests only. No clock decides about it: a writer that died with a
/// claim is noticed by the records that go on gathering.
impl Index {
    /// Whether it falls to this process to fold so many records. Then [`unclaim`](Self::unclaim) follows,
    /// whatever becomes of the fold.
    pub(super) async fn claim(&self, records: usize) -> Result<bool> {
        if self.claim_over(None).await? {
            return Ok(true);
        }
        if records < self.policy.records.saturating_mul(OVERDUE) {
            return Ok(false);
        }
        let Some(object) = self.objects.get(&keys::fold_claim()).await? else { return Ok(false) };
        self.claim_over(Some(&object.meta.version)).await
    }

    /// Puts a claim in the place of `named`, or where there is none.
    async fn claim_over(&self, named: Option<&Version>) -> Result<bool> {
        let (format, nonce) = (Kind::FOLD_CLAIM.tag(), self.objects.environment.new_id());
        let key = keys::fold_claim();
        let claim = encode_line(&FoldClaim { format, nonce }).map_err(|source| unreadable(&key, source))?;
        match swap(&self.objects, key, claim.into(), named, Around::default()).await {
            Swapped::Landed(..) => Ok(true),
            // One in doubt may be there, and then it is taken over when it is overdue.
            Swapped::Lost { .. } | Swapped::InDoubt(_) | Swapped::Unknown(_) => Ok(false),
            Swapped::Failed { error, .. } => Err(Error::Storage(error)),
        }
    }

    /// Gives a claim back. It may be another one's by now, who then folds beside a third.
    pub(super) async fn unclaim(&self) {
        let batch = Batch::new().stage([Operation::delete(keys::fold_claim())]);
        if let Err(error) = self.objects.backend.commit(batch).await {
            tracing::debug!(%error, "the claim of a fold is still there; it is taken over when it is overdue");
        }
    }
}
