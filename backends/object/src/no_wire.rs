//! Stands in for `wire` where no cloud is built in, and no request is ever sent.

use std::error::Error as StdError;

use crate::fault::Fault;

pub(crate) fn fault(_: &(dyn StdError + 'static)) -> Option<Fault> {
    None
}
