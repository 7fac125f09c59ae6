//! Replaces `failure` in builds without a cloud, where no request is sent.

use crate::fault::Fault;

pub(crate) fn fault(error: &object_store::Error) -> Fault {
    Fault::by_kind(error)
}
