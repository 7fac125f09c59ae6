//! Local disk behind pflow-store: plain files under a folder, durable, atomic, conditional, never torn.
//!
//! [`FsBackend`] keeps each object as one file, which any program can read, copy and edit. Beside them it keeps the
//! folder `.journal` for itself:
//!
//! ```text
//! plans/
//! ├── .journal/
//! │   ├── lock         the process that commits holds an advisory lock on it
//! │   ├── journal      what was committed and is not durable in the files yet; empty at rest
//! │   ├── state        how far the journal goes: readers follow it, and it vouches for what must be readable
//! │   ├── instance     which place this folder is: a copy of the folder is told by it
//! │   ├── values/      objects too large for the journal; not there at rest
//! │   ├── staging/     files that are moved in, and copies that were taken out and are looked at once more
//! │   └── quarantine/  what people had written where a commit replaced it unseen; theirs to look at and to delete
//! └── workflows/a      the object `workflows/a`
//! ```
//!
//! # How a batch is committed
//! Batches that wait at the same time go together. Under the lock, each step over before the next begins:
//! 1. What others committed since is taken in; what a process left that died is finished.
//! 2. Batch by batch, **every** condition is checked against what is there, the batches before it included. A
//!    conflict ends that batch here. Objects over 256 KiB are written and synced as files of their own: a
//!    full disk ends that batch here.
//! 3. One record with all changes is appended to the journal, which has the room for it by now, and **synced:
//!    one sync for the whole group**.
//! 4. `state` says how far the journal goes now. From here on everybody sees the changes, and the callers
//!    have their answers.
//!
//! **The files follow**: when nothing was committed for some 20 ms, when the journal reaches its limit
//! ([`FsOptions::journal_limit`]), and at
//! [`close`](pflow_backend::StorageBackend::close), behind which the journal is empty and the folder is plain files. Until then the journal
//! stands over them, for the readers of every process: they look at `state`, read the records that have come
//! since, and take no lock. A journal ends only behind a sync that covers every file it stood over.
//!
//! **A file that cannot be written costs its key alone**: it belongs to another user, a link, a mount or a
//! special file has its name, or the device fails for one block. Everything else becomes durable in its file,
//! and the next epoch of the journal begins with the values that are left, in a new file that is durable
//! before it takes the place of the old one. They can be read as before, and each checkpoint tries them
//! again.
//! [`waiting`](pflow_backend::StorageBackend::waiting) lists them with the cause. When they have more bytes than half of the journal's limit, batches that
//! put something into their folders, or into new folders beside them, are refused with a message that names
//! them; all others go on.
//!
//! Why not write the files at once: a save is four of them, and creating, replacing and removing files is
//! what costs on every file system (20 to 150 µs each on ext4, more where it discards at once), while a
//! record costs its bytes. A head that is saved a hundred times between two checkpoints is one file, and a
//! record that is made and folded away in between is none. `benches/SPIKE.md` has the figures.
//!
//! # What a crash leaves
//! | Power fails or the process dies | What is there |
//! |---|---|
//! | before the sync of 3 is over | nothing of the batch, or all of it if its record happens to be whole; nobody was answered |
//! | after it | all of it |
//! | while the files follow | the same: the journal has the last value of every key that they may lack |
//!
//! So [`atomic_batch`](pflow_backend::Capabilities::atomic_batch) is set, and there is nothing to repair
//! before one may read. The process that opens a folder with work in its journal finds the journal's end,
//! under the lock, by its records: each carries the journal's epoch and random salt, a number and a checksum
//! over itself and the one before.
//!
//! **`state` vouches.** It is written after the sync of a record and not synced itself, so on the medium it
//! may be older than the journal and never newer. Whatever a valid `state` says must be readable: where the
//! journal is missing, cut, or damaged before that position, opening the folder is an error
//! ([`Corrupt`](pflow_backend::ErrorKind::Corrupt)), and no older value is answered. At rest `state` says so
//! and is synced before the journal is emptied, so a journal that is legitimately empty is never taken for
//! one that lost its content. Behind what `state` vouches for, and where there is no valid `state`, the
//! records count as far as they can be read: a damaged one at the end was never acknowledged; a valid record
//! behind a damaged one is an error too. [`FsOptions::accept_tail`] opens such a folder without what cannot
//! be read.
//!
//! If a sync of the journal fails, the outcome is unknown for every batch of the group. **No process appends
//! to that file any more**: the next commit puts a new file in its place, with everything that was seen. The
//! same happens where the journal holds a record that no `state` vouches for, or a part of one, because the
//! process that wrote it may have died of a failed sync. After a failed sync the kernel may take lost pages
//! for clean: a second sync succeeds without them (Rebello et al., "Can Applications Recover from fsync
//! Failures?", USENIX ATC 2020), and on ext4 even the same bytes written into the same file again may be
//! lost. For the same reason `state` gets a new file at rest if another process wrote the old one.
//!
//! The same holds for files and folders, and it is worse there: on ext4 a file that could not be written back
//! and is written over in place later is zeros after a restart, although its second sync succeeded. Therefore
//! - a value is always written into a new file, which takes the name of the old one;
//! - if another handle wrote files since the journal began, or a sync failed, all names are given again
//!   before the journal ends, and folders that may be new are moved away and back for that. One limit: a new
//!   folder that holds a file of another program too is taken for an old one, and its name is not given
//!   again.
//!
//! # What the medium must do
//! - A sync of a file or a folder (`fdatasync`, `fsync`, `syncfs`; `F_FULLFSYNC` on macOS) returns when the
//!   device has it for good, or says that it failed. A disk that acknowledges what it has only cached, a
//!   virtual one included, voids every promise here.
//! - Of what was not synced any part may be lost, in sectors of any size: nothing here rests on what a sector
//!   write tears, nor on the order in which things reach the medium.
//! - What was synced stays as it was. A bit that flips in the journal is noticed; in a file at rest only by
//!   whoever keeps a hash of it, as the store does.
//! - A rename within the file system replaces a name in one step, for readers.
//! - A new file, and a name that is changed again, can become durable where an earlier write failed. What is
//!   written into an old file, or stays under an old name, need not.
//! - `flock` excludes everybody who shares the folder. On one machine it does. **Network file systems may not
//!   reach other machines with it**, so they are refused, unless the caller knows better
//!   ([`FsOptions::any_file_system`]). Where there is no lock at all, commits and openings fail with a
//!   message that says so.
//! - All of the folder is one file system and one mount. A mount inside it is refused for writing, also a
//!   bind mount of the same file system where the system tells (Linux 5.8). What cannot be seen: a bind mount
//!   on other systems, and one that appears after the place was looked at.
//!
//! # Other programs
//! At rest, files that people put, edit or delete are objects like any others, if their names are keys. While
//! the journal has work, its word counts for what it names, with one exception: objects that were put as
//! [`Copy`](pflow_backend::WriteKind::Copy) are made for people to edit, and **an edit of theirs is never
//! lost**. Their files are looked at whenever they are read, judged or replaced; what no handle wrote counts
//! as the object and stays. Bytes that a person writes between the last look and the replacement are kept in
//! `quarantine`, where the system can exchange two names (Linux).
//!
//! A copy that is replaced or deleted stays in `staging` until the next checkpoint, or the next `close`,
//! because an editor may have it open. It is removed then only if it did not change; otherwise it goes to
//! `quarantine`. Five limits:
//! - What an editor writes to such a file after that look is lost. Nothing tells who has a file open.
//! - Where the system can neither exchange two names nor refuse to replace one, a file that is replaced is
//!   not kept.
//! - A handle that finds work in the journal when it opens the folder cannot know whether the machine
//!   crashed. Until it sees the journal end, a copy that holds only the beginning of a committed value, no
//!   bytes, or zeros, is what a crash left to it: the value counts, and such a beginning goes to
//!   `quarantine`. A handle that was open before keeps it as an edit.
//! - While the journal has work, a person who writes the exact bytes back that a copy held earlier in the
//!   same epoch makes no edit: the newest value counts and replaces them. A file may hold each of these
//!   values because it has not been written yet, or because a crash brought it back, and nothing tells that
//!   from an edit.
//! - A file that another program put in the place of an [`Immutable`](pflow_backend::WriteKind::Immutable)
//!   object counts as the object if its bytes are equal. It is not written again, so a loss of power may take
//!   it although the put was answered as committed, unless that program has synced it.
//!
//! A file that this process cannot read is no edit to it: the journal's value counts, and the file stays as
//! it is.
//!
//! What is no object (names that are no keys, links, pipes, devices) is passed over in listings and refused
//! where an object is asked for or written; **a link is never followed**, wherever it leads. Deletes leave
//! empty folders behind, which are no objects.
//!
//! New folders and files take over the group of the storage's folder and what its mode allows (folders its
//! set-group-id bit too), whatever the umask of the process, but never the right of all users to write. So
//! users of one group share a folder after `chgrp GROUP` and `chmod g+rwxs` of it, before the first commit.
//! Where the system refuses it, the process's default stays. A replaced object keeps its permission bits.
//! Owner and extended attributes belong to the file and may be lost when it is replaced. A file with other
//! names beside its own (hard links, a snapshot) is never written to: the object gets a new one. Copies
//! change in one step for other programs too; of other objects a program that reads them while a store is at
//! work may see a part.
//!
//! # What must not be removed from `.journal`
//! | Removed | What happens |
//! |---|---|
//! | anything, at rest | nothing: it is made again, but for `quarantine`, which holds what people wrote |
//! | `journal` or a file in `values/`, while the journal has work | changes that the files do not have are lost; it is noticed ([`Corrupt`](pflow_backend::ErrorKind::Corrupt)) |
//! | `state`, while the journal has work | nothing is lost; until it is written again damage at the end of the journal is not noticed |
//! | `lock`, under a process at work | that process notices before it appends and before it answers. Two processes that write in between may damage each other's record |
//! | `instance` | the place gets another id, unless a process at work knows it |
//! | all of `.journal`, while the journal has work | **every change that the files do not have is lost, and nothing is left to notice it by**; a handle that knew of work refuses to go on |
//!
//! # Copies of the folder
//! A copy has the objects and the journal of its original, and is another place:
//! [`instance`](pflow_backend::StorageBackend::instance) has an id of its own from the first commit on
//! (`instance.rs`). What `state` vouches for is bound to the place. In a copy, also one that was made while a
//! process was at work, nothing is an error that is missing behind it: the journal is read as far as it can be, a
//! warning says so, a damaged journal is kept in `quarantine`, and what was read goes into a journal of this
//! place. [`FsBackend::lost_tail`] tells what the original had committed and the copy lacks. A file that was
//! copied while it was written may be a part of its value.
//!
//! # Forks
//! A forked child must not use a handle of its parent: the runtime's threads are gone. One that opens the
//! folder itself is a process like any other, and one that only waits for its `exec` does not keep the lock.

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
compile_error!("pflow-backend-fs knows the durability rules of Linux and macOS only");

mod apply;
mod backend;
mod carry;
mod checkpoint;
mod current;
mod error;
mod failed;
mod files;
mod folder;
mod instance;
mod journal;
mod list;
mod lock;
mod medium;
mod moved;
mod names;
mod options;
mod overlay;
mod plan;
mod probe;
mod queue;
mod reads;
mod remedy;
mod rescue;
mod root;
mod store;
mod taken_out;
#[cfg(test)]
mod tests;
mod values;
mod view;
mod writer;

pub use backend::{FsBackend, SharedFileSystem};
pub use journal::lost::LostTail;
pub use options::FsOptions;
pub use probe::HeldLock;
