//! Local disk behind pflow-store: plain files under a folder, durable, conditional, never torn.
//!
//! [`FsBackend`] keeps each object as one file, which any program can read, copy and edit. Beside them it keeps the
//! folder `.journal` for itself:
//!
//! ```text
//! plans/
//! ├── .journal/
//! │   ├── lock        whoever commits holds an advisory lock on it
//! │   └── staging/    files of the commit under way
//! └── workflows/a     the object `workflows/a`
//! ```
//!
//! # How a batch is committed
//! Under the lock, in this order; each step is over before the next begins:
//! 1. What an interrupted commit left is finished or removed: folders that it named in the lock file are synced, staged files
//!    deleted.
//! 2. **Every** condition of the batch, whatever its stage, is checked against the files. A conflict ends it here.
//! 3. Every object of the batch is written into `staging` and synced. A full disk ends it here.
//! 4. Stage by stage: missing folders are made, files moved into their places and deleted ones removed; then each folder in
//!    which a name changed is synced, once.
//!
//! So a batch costs one sync for each put and one for each folder that a stage touches.
//!
//! # What a crash leaves
//! | Power fails or the process dies | What is there |
//! |---|---|
//! | in 1 to 3 | nothing of the batch; perhaps files in `staging`, which nobody sees and the next commit sweeps |
//! | in stage *n* of 4 | all stages before *n*, any of the operations of *n*, nothing behind it; every object whole |
//! | after the answer | everything |
//!
//! Since earlier stages may stay, [`atomic_batch`](pflow_backend::Capabilities::atomic_batch) is not set, although a conflict always
//! leaves nothing at all.
//!
//! A process that dies within 4 while the machine runs on leaves names that are visible and not synced. Their folders
//! stand in the lock file, and the next commit, whoever makes it, syncs them first.
//!
//! If a sync of a folder fails, the outcome is unknown and the handle refuses to write from then on
//! ([`Poisoned`](pflow_backend::ErrorKind::Poisoned)): after a failed sync the kernel may take lost pages for clean, and a second one
//! succeeds without them (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
//!
//! # What the medium must do
//! - `fsync` of a file and of a folder (`F_FULLFSYNC` on macOS) returns when the device has it for good. A disk that acknowledges
//!   what it has only cached, a virtual one included, voids every promise here.
//! - A rename within the file system replaces a name in one step, for readers and for crashes.
//! - `flock` excludes everybody who shares the folder. On one machine it does. **Network file systems may not reach other
//!   machines with it: do not share a folder between machines.**
//! - All of the folder is one file system. A mount inside it is refused.
//!
//! # Other programs
//! Files that people put, edit or delete are objects like any others, if their names are keys. A hand that knows no lock may
//! change a file between the check of its condition and the move, and is overwritten then. What is no object (names
//! that are no keys, links, pipes, devices) is passed over in listings and refused where an object is asked for or written; **a link
//! is never followed**, wherever it leads. Deletes leave empty folders behind, which are no objects.
//!
//! A replaced object keeps its permission bits; new ones get the process's default. Owner, extended attributes and hard
//! links belong to the file and are lost when it is replaced.
//!
//! # Forks
//! A forked child must not use a handle of its parent: the runtime's threads are gone. One that opens the folder itself is a
//! process like any other, and one that only waits for its `exec` does not keep the lock.

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("pflow-backend-fs knows the durability rules of Linux and macOS only");

mod apply;
mod backend;
mod checkpoint;
mod current;
mod error;
mod files;
mod folder;
mod journal;
mod list;
mod lock;
mod medium;
mod options;
mod overlay;
mod plan;
mod probe;
mod queue;
mod root;
mod store;
#[cfg(test)]
mod tests;
mod values;
mod view;
mod writer;

pub use backend::FsBackend;
pub use options::FsOptions;
pub use probe::HeldLock;
