use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::{
    conflict::{ChangeKind, ConflictResolver, Expect, Policy, Wanted},
    document::Document,
    format::{Given, LeaseRef, WorkflowId},
    lock::Claim,
};

/// The caller's request, without the [`Task`].
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: WorkflowId,
    pub(crate) expect: Expect,
    /// The lease that the caller holds.
    pub(crate) lease: Option<LeaseRef>,
    /// The lease that the caller requests along with the change.
    pub(crate) hold: Option<Claim>,
    pub(crate) message: Option<String>,
    /// Decides conflicts.
    pub(crate) resolver: Arc<dyn ConflictResolver>,
    /// How long to wait for locks of other clients; if not set, the resolver decides.
    pub(crate) lock_timeout: Option<Duration>,
    /// Ends waits and questions to the resolver, never a write.
    pub(crate) cancel: CancellationToken,
}

/// The task of a change.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Save this content with the given metadata. The content is not parsed yet.
    Save {
        content: Bytes,
        given: Given,
    },
    Delete,
    Undelete,
}

/// The goal of a change: a [`Task`] whose content is a parsed document.
#[derive(Debug, Clone)]
pub(crate) enum Goal {
    Save { document: Box<Document>, given: Given },
    Delete,
    Undelete,
}

impl Request {
    pub(crate) fn new(id: WorkflowId, expect: Expect) -> Self {
        let (lease, hold, message, lock_timeout, cancel) = Default::default();
        let resolver = Arc::new(Policy::Fail);
        Self { id, expect, lease, hold, message, resolver, lock_timeout, cancel }
    }
}

impl Goal {
    pub(crate) fn kind(&self) -> ChangeKind {
        match self {
            Self::Save { .. } => ChangeKind::Save,
            Self::Delete => ChangeKind::Delete,
            Self::Undelete => ChangeKind::Undelete,
        }
    }

    pub(crate) fn is_save(&self) -> bool {
        matches!(self, Self::Save { .. })
    }

    pub(crate) fn wanted(&self) -> Wanted {
        match self {
            Self::Save { document, .. } => Wanted::Save(document.as_ref().clone()),
            Self::Delete => Wanted::Delete,
            Self::Undelete => Wanted::Undelete,
        }
    }
}
