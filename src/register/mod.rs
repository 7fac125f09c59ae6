//! The compare-and-swap of a register, which every change of a store is: the head of a workflow, or the root
//! of the index.
//!
//! [`swap`] commits one batch and classifies its outcome, [`Unsettled`] settles an outcome that stayed open,
//! and [`Tries`] decides how often a flow tries again.

mod swap;
mod tries;
pub(crate) mod unsettled;

pub(crate) use swap::{Around, Derived, Swapped, swap, swap_head};
pub(crate) use tries::{RETRY, Tries, back_off};
pub(crate) use unsettled::{Fate, Unsettled};
