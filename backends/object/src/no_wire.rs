//! Replaces `wire` where no cloud is built in, and no request is ever sent.

use crate::fault::Fault;

pub(crate) fn fault(error: &object_store::Error) -> Fault {
    Fault::by_kind(error)
}
