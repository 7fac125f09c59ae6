//! Counts the bytes that are read, so that a test can tell whether they are in proportion to the size.

#[cfg(test)]
pub(super) use counted::{add, of};

#[cfg(not(test))]
pub(super) fn add(_: usize) {}

#[cfg(test)]
mod counted {
    use std::cell::Cell;

    thread_local! {
        static READ: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn add(bytes: usize) {
        READ.set(READ.get() + bytes);
    }

    /// The number of bytes that `act` reads in this thread.
    pub(crate) fn of(act: impl FnOnce()) -> usize {
        let before = READ.get();
        act();
        READ.get() - before
    }
}
