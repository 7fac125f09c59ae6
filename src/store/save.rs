use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pflow_backend::Environment;
use tokio_util::sync::CancellationToken;

use super::{
    Store,
    change::{Change, Request, Task, Unread, Written},
    request::{change_options, check_message},
};
use crate::{
    Error, Result,
    conflict::{ConflictResolver, Expect, Resolved},
    document::{
        ContentHash, DocumentFormat, MAX_DESCRIPTION_BYTES, MAX_NAME_BYTES, MAX_TAG_BYTES, MAX_TAGS,
        MAX_TAGS_BYTES,
    },
    format::{
        FieldChange, FieldChanges, Lease, LeaseId, LeaseRef, VersionRecord, WorkflowId, check_list,
        check_text,
    },
    lock::LeaseRequest,
};

/// A request to save a workflow.
#[derive(Debug, Clone)]
pub struct SaveRequest {
    pub(super) request: Request,
    document: Unread,
    fields: FieldChanges,
    fence: Option<u64>,
    hold: Option<LeaseRequest>,
}

/// The result of a change of a workflow.
#[derive(Debug)]
#[non_exhaustive]
pub struct Saved {
    /// The workflow.
    pub id: WorkflowId,
    /// Its present generation. It is durable.
    pub generation: u64,
    /// The hash of its present content; none if it is deleted.
    pub hash: Option<ContentHash>,
    /// Nothing was different, so no version was made.
    pub unchanged: bool,
    /// The current version.
    pub record: VersionRecord,
    /// The lease that the caller now holds, if any.
    pub lease: Option<Lease>,
    /// How a conflict was resolved; none if there was no conflict.
    pub resolved: Option<Resolved>,
    /// The change was made, but the working copy or `workflow.lock` could not be refreshed. A later load
    /// detects and repairs that.
    pub copy_error: Option<Error>,
    /// The change was made and is listed, but maintenance of the index failed. A later save or `reindex`
    /// repeats it.
    pub index_error: Option<Error>,
}

impl SaveRequest {
    /// Saves this content for this workflow, built on the state that `expect` names.
    pub fn new(id: WorkflowId, content: impl Into<Bytes>, expect: Expect) -> Self {
        let document = Unread { content: content.into(), format: None };
        let request = Request::new(id, expect);
        Self { request, document, fields: FieldChanges::default(), fence: None, hold: None }
    }

    /// Sets the format of the content. By default it is detected.
    #[must_use]
    pub fn format(mut self, format: impl Into<Option<DocumentFormat>>) -> Self {
        self.document.format = format.into();
        self
    }

    /// Gives the name, which counts in place of the document's. It stays for later versions, whatever their
    /// documents say, until another one is given or it is [cleared](Self::clear_name). An empty name means
    /// that there is none.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.fields.name = FieldChange::Set(Some(name.into()).filter(|name| !name.is_empty()));
        self
    }

    /// Clears a given name: the name is that of the document again.
    #[must_use]
    pub fn clear_name(mut self) -> Self {
        self.fields.name = FieldChange::Clear;
        self
    }

    /// Gives the description, by the same rule as [`name`](Self::name).
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        let description = Some(description.into()).filter(|description| !description.is_empty());
        self.fields.description = FieldChange::Set(description);
        self
    }

    /// Clears a given description: the description is that of the document again.
    #[must_use]
    pub fn clear_description(mut self) -> Self {
        self.fields.description = FieldChange::Clear;
        self
    }

    /// Gives exactly these tags, by the same rule as [`name`](Self::name). An empty list means that there are
    /// none.
    #[must_use]
    pub fn tags<T: Into<String>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        let mut kept: Vec<String> = Vec::new();
        for tag in tags.into_iter().map(Into::into) {
            if !kept.contains(&tag) {
                kept.push(tag);
            }
        }
        self.fields.tags = FieldChange::Set(kept);
        self
    }

    /// Clears given tags: the tags are those of the document again.
    #[must_use]
    pub fn clear_tags(mut self) -> Self {
        self.fields.tags = FieldChange::Clear;
        self
    }

    /// Also requires this fence of the lease ([`Lease::fence`]), which distinguishes it from another grant
    /// with the same id. Without a [`lease`](Self::lease) it has no effect.
    #[must_use]
    pub fn fence(mut self, fence: u64) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Takes the lock in the same swap. If the caller already holds a lease, none is taken.
    #[must_use]
    pub fn hold(mut self, lease: LeaseRequest) -> Self {
        self.hold = Some(lease);
        self
    }

    pub(super) fn id(&self) -> &WorkflowId {
        &self.request.id
    }

    fn checked(&self) -> Result<()> {
        let FieldChanges { name, description, tags } = &self.fields;
        let text = |change: &FieldChange<Option<String>>| change.set().cloned().flatten();
        check_text("name", text(name).as_deref(), MAX_NAME_BYTES)?;
        check_text("description", text(description).as_deref(), MAX_DESCRIPTION_BYTES)?;
        self.hold.as_ref().map_or(Ok(()), LeaseRequest::check)?;
        check_message(&self.request)?;
        let tags = tags.set().map(Vec::as_slice).unwrap_or_default();
        tags.iter().try_for_each(|tag| check_text("tag", Some(tag), MAX_TAG_BYTES))?;
        if tags.len() > MAX_TAGS {
            let reason = format!("{} are given, at most {MAX_TAGS} are allowed", tags.len());
            return Err(Error::InvalidField { field: "tags", reason });
        }
        check_list("tags", tags, MAX_TAGS_BYTES)
    }

    /// What the store is to do. The id of the lease to be taken is fixed here, once, so that every attempt
    /// asks for the same grant.
    fn into_request(self, environment: &dyn Environment) -> Result<(Request, Task)> {
        self.checked()?;
        let Self { mut request, document, fields, fence, hold } = self;
        request.lease = request.lease.map(|lease| LeaseRef { fence, ..lease });
        request.hold = hold.map(|hold| hold.claim(environment)).transpose()?;
        Ok((request, Task::Save { document, fields }))
    }
}

change_options!(SaveRequest);

impl Store {
    /// Saves a workflow as a new generation, which is durable when this returns.
    ///
    /// Conflicts are decided by the request's [`resolver`](SaveRequest::resolver); [`Saved::resolved`] has
    /// the result.
    ///
    /// Nothing is written if nothing is different and the expectation holds, even while another client holds
    /// the lock: a lease protects against writes, and there is none. A save whose reply was lost may be
    /// repeated: with [`Expect::Any`] it finds nothing different, otherwise it may conflict with its own
    /// earlier write.
    ///
    /// # Errors
    /// [`Error::Document`] with the reason and the place; [`Error::Conflict`] if it cannot be made on top of
    /// the present state; [`Error::HeadHurt`] if the head of the workflow was lost; [`Error::OutcomeUnknown`]
    /// if the caller must read the workflow to find out. In all other cases nothing was changed.
    pub async fn save(&self, request: SaveRequest) -> Result<Saved> {
        let (request, task) = request.into_request(self.shared.objects.environment.as_ref())?;
        self.change(request, task).await
    }

    /// The same for one save of a batch: the batch folds the index.
    pub(super) async fn save_of_batch(&self, request: SaveRequest) -> Result<Saved> {
        let (request, task) = request.into_request(self.shared.objects.environment.as_ref())?;
        self.make(request, task, Change::of_batch).await
    }

    pub(super) async fn change(&self, request: Request, task: Task) -> Result<Saved> {
        self.make(request, task, |change| change).await
    }

    async fn make(&self, request: Request, task: Task, how: fn(Change) -> Change) -> Result<Saved> {
        let (named, wanted) = (request.lease.clone(), request.hold.clone());
        if let Some(claim) = &wanted {
            self.shared.locks.await_releases(&request.id, claim.id()).await;
        }
        let identity = self.shared.objects.environment.identity();
        let held = |lease: &Lease| {
            named.as_ref().is_some_and(|named| named.is(lease))
                || wanted.is_some_and(|claim| claim.is_granted_by(lease, identity))
        };
        let Written { head, unchanged, copy_error, index_error, resolved } =
            how(Change::new(Arc::clone(&self.shared), request, task)).run(&self.flows).await?;
        let missing = || Error::Internal("a change left a head without a version".to_owned());
        let record = head.current.ok_or_else(missing)?.record;
        Ok(Saved {
            id: head.id,
            generation: record.generation,
            hash: record.hash,
            unchanged,
            lease: head.lease.filter(held),
            record,
            resolved: resolved.if_any(),
            copy_error,
            index_error,
        })
    }
}
