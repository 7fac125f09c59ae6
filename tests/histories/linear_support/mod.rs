//! Histories of registers: the operations on keys with their replies, and a check that one order explains
//! them.

mod client;
mod history;
mod lines;
mod search;

pub(crate) use client::{Answer, Client};
pub(crate) use history::{Asked, Event, Found, Told, Value, check};
pub(crate) use lines::{Line, events};
pub(crate) use search::{Effect, Step, search};
