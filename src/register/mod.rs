//! Compare-and-swap of a register: the head of a workflow, the root of the index, or `config.json`. Every
//! change of a store is one such swap.
//!
//! [`swap`] commits one batch and classifies its outcome. [`Unsettled`] settles an unknown outcome. [`Tries`]
//! decides how often a flow retries.

mod swap;
mod tries;
pub(crate) mod unsettled;

pub(crate) use swap::{Around, Derived, EncodedHead, Swapped, swap, swap_head};
pub(crate) use tries::{RETRY, Tries, back_off};
pub(crate) use unsettled::{Fate, Unsettled};
