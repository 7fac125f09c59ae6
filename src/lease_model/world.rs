//! The state of the model: the register, the actors, and what they know.

use std::fmt;

/// The maximum number of generations of a register in the model.
const GENERATIONS: usize = 4;
/// The maximum number of requests in flight, and of attempts in doubt, per actor.
pub(super) const OPEN: usize = 1;

/// How far a wall clock may be from the true time, in units. One unit is more than the duration of a lease
/// plus the clock skew.
pub(super) const CLOCKS: [i8; 3] = [-1, 0, 1];

/// The actors.
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

/// The name of a grant: its holder, and the number of the holder's request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) holder: Role,
    pub(super) wish: u8,
}

/// A lease in the register. `refreshed` is the time of its last refresh, in units relative to the true
/// present. A unit is longer than the duration of a lease plus the clock skew, so a refresh two units ago is
/// outdated by every clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) name: Name,
    pub(super) fence: u8,
    pub(super) refreshed: i8,
}

/// An attempt to make a generation. Attempts whose outcome no actor asks for any more are all alike.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Attempt {
    Anybodys,
    Of(Role, u8),
}

/// The parts of a head that the protocol reads.
///
/// The version is left out. A swap names the version that it replaces, and no version recurs, because every
/// rewrite has a fresh nonce. So it only matters whether a version that an actor knows is still the current
/// one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Register {
    pub(super) fence: u8,
    pub(super) held: Option<Held>,
    pub(super) generation: u8,
    /// Oldest first; `generation` is the number of valid elements.
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

/// The operation of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    Acquire(Name),
    Renew(Name),
    Release(Name),
    Break(Name),
    SaveUnder(Name),
    /// By an actor without a lease.
    Save,
    /// Rewrites the nonce and nothing else.
    Settle,
}

impl Doing {
    pub(super) fn saves(self) -> bool {
        matches!(self, Self::Save | Self::SaveUnder(_))
    }
}

/// A decided swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Swap {
    pub(super) doing: Doing,
    pub(super) next: Register,
    /// Whether the version that it names is the current one. A swap that cannot land any more is forgotten,
    /// unless a flawed protocol lands it anyway.
    pub(super) named_is_present: bool,
}

/// An attempt whose outcome its sender does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Doubt {
    pub(super) attempt: Attempt,
    /// The generation that it would make.
    pub(super) generation: u8,
    pub(super) named_is_present: bool,
}

/// The progress of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Rests,
    /// The actor has to read the head, perhaps again.
    Looks(Doing),
    /// The actor has read and decided, and may be stopped for any time before it swaps.
    Swaps(Swap),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Actor {
    pub(super) step: Step,
    /// The lease that the actor was told it holds, and its fence, until it learns that the lease is lost.
    pub(super) has: Option<(Name, u8)>,
    pub(super) wishes: u8,
    pub(super) doubts: [Option<Doubt>; OPEN],
    /// Swaps without a reply: each may land at any later time, even if its sender is dead.
    pub(super) flying: [Option<Swap>; OPEN],
    /// Whether a swap of the current operation has landed; the actor may not know it.
    pub(super) landed: bool,
    pub(super) left: Left,
}

/// How often an actor may still do something. This keeps the search finite.
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
    /// Known only to the laws: the highest fence that the register ever had, and the grants that their
    /// requesters were told about.
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

    /// Whether the grant with this name was reported to its requester.
    pub(super) fn was_told(&self, name: Name) -> bool {
        self.told & name.bit() != 0
    }

    /// Makes the attempts of `role` anonymous: from now on no actor asks for their outcome.
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
