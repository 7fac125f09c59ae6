//! What a process has asked for, and what goes wrong for it.

use rustix::io::Errno;

/// The calls of a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub(crate) enum Call {
    OpenRoot,
    Identify,
    OpenFolder,
    Open,
    Status,
    Look,
    Names,
    Read,
    Write,
    SetLength,
    CreateFolder,
    Rename,
    RenameNew,
    Exchange,
    RemoveFile,
    RemoveFolder,
    SyncData,
    Sync,
    SyncFileSystem,
    TryLock,
    Unlock,
    Kind,
}

impl Call {
    pub(crate) fn is_sync(self) -> bool {
        matches!(self, Self::SyncData | Self::Sync | Self::SyncFileSystem)
    }

    /// Whether a medium that cannot be written to refuses it.
    pub(crate) fn writes(self) -> bool {
        use Call::{CreateFolder, Exchange, RemoveFile, RemoveFolder, Rename, RenameNew, SetLength, Write};
        matches!(
            self,
            Write | SetLength | CreateFolder | Rename | RenameNew | Exchange | RemoveFile | RemoveFolder
        )
    }
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Called {
    pub(crate) call: Call,
    pub(crate) path: String,
    /// Whether something was changed or became durable by it.
    pub(crate) changed: bool,
}

/// What goes wrong, from the next call on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// From the call of this number on nothing happens any more: the process is dead and does not know.
    DeadFrom(usize),
    /// As that; but it died in the middle of the write before, of which a part happened.
    DeadWithin(usize),
    /// The call of this number fails.
    At(usize, Errno),
    /// All fail from this number on.
    From(usize, Errno),
    /// The nth call of a kind, from 0, fails.
    Nth(Call, usize, Errno),
    /// The nth sync of any kind, from 0, fails, and what it covered is lost.
    LosingSync(usize),
    /// The nth write, from 0, takes a part of the bytes, and the next call fails if there is an error.
    ShortWrite(usize, Option<Errno>),
    /// Every call that would change the file with this path fails, as where it belongs to another user.
    Of(&'static str, Errno),
    /// The same for everything whose path has this part.
    Below(&'static str, Errno),
    /// The folder with this path cannot be opened.
    Closed(&'static str, Errno),
    /// Nothing can be written.
    ReadOnly,
    /// Right before the next call of this kind for the file with this path, a person does something to the
    /// file.
    Before(Call, &'static str, Hand),
}

/// What a person does to a file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hand {
    /// Writes it as an editor does that syncs nothing.
    Writes(&'static str),
    Removes,
}

/// What a call does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Happens,
    Fails(Errno),
    /// A write of a part.
    Partly,
    /// A sync that fails and loses.
    Loses,
}

/// The calls of one process.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) made: Vec<Called>,
    pub(super) troubles: Vec<Trouble>,
    next_fails: Option<Errno>,
    /// How many of each kind.
    counts: [usize; Call::Kind as usize + 1],
    pub(super) syncs: usize,
    pub(super) bytes_read: usize,
}

impl Calls {
    /// What a person does right before a call, once.
    pub(super) fn before(&mut self, call: Call, path: &str) -> Option<Hand> {
        let at = self.troubles.iter().position(|trouble| match trouble {
            Trouble::Before(it, of, _) => *it == call && path.ends_with(of),
            _ => false,
        })?;
        match self.troubles.remove(at) {
            Trouble::Before(_, _, hand) => Some(hand),
            _ => None,
        }
    }

    /// Notes a call and decides what becomes of it.
    pub(super) fn begin(&mut self, call: Call, path: String) -> Fate {
        let at = self.made.len();
        let (nth, nth_sync) = (self.counts[call as usize], self.syncs);
        self.counts[call as usize] += 1;
        self.syncs += usize::from(call.is_sync());
        let of = |it: &str| call.writes() && path.ends_with(it);
        let stuck = self.troubles.iter().find_map(|trouble| match trouble {
            Trouble::Of(it, errno) if of(it) => Some(Fate::Fails(*errno)),
            Trouble::Below(it, errno) if call.writes() && path.contains(it) => Some(Fate::Fails(*errno)),
            Trouble::Closed(it, errno) if call == Call::OpenFolder && path.ends_with(it) => {
                Some(Fate::Fails(*errno))
            }
            _ => None,
        });
        self.made.push(Called { call, path, changed: false });
        if let Some(errno) = self.next_fails.take() {
            return Fate::Fails(errno);
        }
        for trouble in &self.troubles {
            let fate = match *trouble {
                Trouble::DeadFrom(from) | Trouble::DeadWithin(from) if at >= from => Fate::Fails(Errno::IO),
                Trouble::DeadWithin(from) if at + 1 == from && call == Call::Write => Fate::Partly,
                Trouble::At(it, errno) if at == it => Fate::Fails(errno),
                Trouble::From(from, errno) if at >= from => Fate::Fails(errno),
                Trouble::Nth(it, number, errno) if (call, nth) == (it, number) => Fate::Fails(errno),
                Trouble::LosingSync(number) if call.is_sync() && nth_sync == number => Fate::Loses,
                Trouble::ShortWrite(number, errno) if call == Call::Write && nth == number => {
                    self.next_fails = errno;
                    Fate::Partly
                }
                Trouble::ReadOnly if call.writes() => Fate::Fails(Errno::ROFS),
                _ => continue,
            };
            return fate;
        }
        stuck.unwrap_or(Fate::Happens)
    }
}
