//! Compare-and-swap of a register: the head of a workflow, the root of the index, or `config.json`. Every
//! change of a store is one such swap.
//!
//! [`swap`] commits one batch and classifies its outcome. [`HeadSwap`] settles a swap of a head that is in
//! doubt. [`Tries`] decides how often a change is tried.

mod head_swap;
mod swap;
mod tries;

pub(crate) use head_swap::{ByHead, Fate, HeadSwap, Sign};
pub(crate) use swap::{Around, Derived, EncodedHead, Swapped, swap, swap_head};
pub(crate) use tries::{RETRY, Tries, back_off};
