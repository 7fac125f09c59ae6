//! What there is: the register, those who act on it, and what they know.

use std::fmt;

/// Generations that a register of the model can have.
const GENERATIONS: usize = 4;
/// Requests that one actor can have on their way, and attempts that it can be in doubt about.
pub(super) const OPEN: usize = 1;

/// How far a wall clock may be from the true time, in units. One is more than a lease lasts and clocks may
/// differ.
pub(super) const CLOCKS: [i8; 3] = [-1, 0, 1];

/// Who acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Role {
    Holder1,
    Holder2,
    Saver,
    Breaker,
    Folder,
}

impl Role {
    pub(super) const ALL: [Self; 5] =
        [Self::Holder1, Self::Holder2, Self::Saver, Self::Breaker, Self::Folder];

    pub(super) fn is_holder(self) -> bool {
        matches!(self, Self::Holder1 | Self::Holder2)
    }
}

/// The name of one grant: the how-manyth wish of whom.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) holder: Role,
    pub(super) wish: u8,
}

/// A lease in the register. The moment of its last refresh is in units of a time that is longer than a lease
/// lasts and clocks may differ, from the true present on: what happened two of them ago is long ago by every
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) name: Name,
    pub(super) fence: u8,
    pub(super) refreshed: i8,
}

/// One attempt to become a generation. Attempts that nobody will ask after are all alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    Anybodys,
    Of(Role, u8),
}

/// A head, as far as the protocol reads it.
///
/// Its version is left out. A swap names the version that it replaces, and no version comes back, because
/// every rewrite has a fresh nonce: so all that counts is whether a version that somebody knows still is the
/// present one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Register {
    pub(super) fence: u8,
    pub(super) held: Option<Held>,
    pub(super) generation: u8,
    /// The oldest first; as many as the generation says.
    pub(super) chain: [Attempt; GENERATIONS],
}

impl Register {
    pub(super) fn new() -> Self {
        Self { fence: 0, held: None, generation: 0, chain: [Attempt::Anybodys; GENERATIONS] }
    }

    pub(super) fn chain(&self) -> &[Attempt] {
        &self.chain[..self.generation.into()]
    }
}

/// What somebody is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Acquire(Name),
    Renew(Name),
    Release(Name),
    Break(Name),
    SaveUnder(Name),
    /// By somebody who has no lease.
    Save,
    /// Rewrites the nonce and nothing else.
    Settle,
}

impl Doing {
    pub(super) fn saves(self) -> bool {
        matches!(self, Self::Save | Self::SaveUnder(_))
    }
}

/// A swap that was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Swap {
    pub(super) doing: Doing,
    pub(super) next: Register,
    /// The version that it names is the present one. What cannot land any more is forgotten, unless a broken
    /// protocol lands it all the same.
    pub(super) named_is_present: bool,
}

/// An attempt that nobody was told the fate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Doubt {
    pub(super) attempt: Attempt,
    /// The generation that it would be.
    pub(super) generation: u8,
    pub(super) named_is_present: bool,
}

/// Where somebody stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Rests,
    /// Has to look at the head, again perhaps.
    Looks(Doing),
    /// Has looked and decided, and may be stopped for any time before it swaps.
    Swaps(Swap),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Actor {
    pub(super) step: Step,
    /// The lease that it was told it has, and its fence; until it hears that it is lost.
    pub(super) has: Option<(Name, u8)>,
    pub(super) wishes: u8,
    pub(super) doubts: [Option<Doubt>; OPEN],
    /// What it sent, and nobody answered: it may land at any later time, also when its sender is dead.
    pub(super) flying: [Option<Swap>; OPEN],
    /// Whether a swap of what it does now is in place, which it need not know.
    pub(super) landed: bool,
    pub(super) left: Left,
}

/// How often somebody may still do something: what keeps the search finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) wishes: u8,
    pub(super) saves: u8,
    pub(super) renewals: u8,
    pub(super) others: u8,
    pub(super) lost_replies: u8,
    pub(super) deaths: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) register: Register,
    pub(super) actors: [Actor; 5],
    /// What nobody knows but whoever judges: the highest fence that ever was in the register, and which
    /// grants were told to whoever wished for them.
    pub(super) highest: u8,
    pub(super) told: u8,
}

impl World {
    pub(super) fn new(left: impl Fn(Role) -> Left) -> Self {
        let actor = |role| Actor {
            step: Step::Rests,
            has: None,
            wishes: 0,
            doubts: [None; OPEN],
            flying: [None; OPEN],
            landed: false,
            left: left(role),
        };
        Self { register: Register::new(), actors: Role::ALL.map(actor), highest: 0, told: 0 }
    }

    pub(super) fn actor(&self, role: Role) -> &Actor {
        &self.actors[role as usize]
    }

    pub(super) fn actor_mut(&mut self, role: Role) -> &mut Actor {
        &mut self.actors[role as usize]
    }

    /// Whether the grant of this name was told.
    pub(super) fn was_told(&self, name: Name) -> bool {
        self.told & name.bit() != 0
    }

    /// From now on nobody asks what became of the attempts of `role`, so they need no name.
    pub(super) fn forget_attempts(&mut self, role: Role) {
        let forget = |register: &mut Register| {
            for attempt in &mut register.chain {
                if matches!(attempt, Attempt::Of(by, _) if *by == role) {
                    *attempt = Attempt::Anybodys;
                }
            }
        };
        forget(&mut self.register);
        for actor in &mut self.actors {
            if let Step::Swaps(swap) = &mut actor.step {
                forget(&mut swap.next);
            }
            actor.flying.iter_mut().flatten().for_each(|swap| forget(&mut swap.next));
        }
    }
}

impl Name {
    pub(super) fn bit(self) -> u8 {
        1 << (self.holder as u8 * 4 + self.wish)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {}.{}", self.holder as u8 + 1, self.wish)
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anybodys => f.write_str("."),
            Self::Of(role, number) => write!(f, "{role:?}#{number}"),
        }
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fence {}, ", self.fence)?;
        match self.held {
            Some(held) => {
                write!(f, "{:?} (fence {}, refreshed {:+})", held.name, held.fence, held.refreshed)?;
            }
            None => f.write_str("no lease")?,
        }
        write!(f, ", chain {:?}", self.chain())
    }
}
