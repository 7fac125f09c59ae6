use std::collections::BTreeSet;

use pflow_backend::Version;

use crate::{
    Error, Result,
    format::{Head, LeaseId, VersionRecord, VersionRef, WorkflowId, keys},
    repo::{Objects, StoredHead, VersionName, corrupt},
};

/// A swap of a head that was sent, as far as it takes to settle it. It is in doubt if its reply was lost, or
/// if it was refused in a way that may be a conflict with itself.
///
/// Invariant: every swap names the version of the head that it replaces, and no version of a head ever
/// recurs, because each rewrite has a fresh nonce. So once a read returns any head other than the named one,
/// the swap has landed or never will, and it has landed if and only if its [`Sign`] is in the head that was
/// read. Nothing else decides this: no clock and no error code. Icechunk and Delta check their commits with
/// the same protocol; the chain takes the place of their log. A person can restore an older head; then the
/// version of a swap that did land is not in the chain. So the versions of a swap are deleted only if the
/// head has reached their generation by another version.
///
/// While the head is still the named one, a further swap on top of it settles this one: only one of the two
/// can land.
#[derive(Debug, Clone)]
pub(crate) struct HeadSwap {
    /// The version of the head that the swap named; none: the head did not exist.
    pub(crate) named: Option<Version>,
    /// The head that it writes.
    pub(crate) head: Head,
    /// None if only its nonce shows.
    pub(crate) sign: Option<Sign>,
}

/// What shows in a later head that a swap has landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Its version, among all ancestors of the head's: a merge may have made it a second parent.
    Version(VersionName),
    /// The lease that it grants. If the head no longer has it, that has the same consequences as a swap that
    /// never landed.
    Lease(LeaseId),
    /// The absence of the lease that it ends. That alone does not tell who ended it. But a client that takes
    /// a lease away from its holder records that in `head.ended`. So the swap ended the lease if and only if
    /// `head.ended` is the value that the swap writes: its own record after a break, the previous record
    /// after a release. If another lease was taken away since, `head.ended` has a different value. Then it is
    /// unknown who ended this one, and it counts as ended by another client.
    LeaseGone(LeaseId),
}

/// The outcome of a swap, as decided by a read of the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is in place, or was and later changes build on it.
    Landed,
    /// It did not land and never will: the version is not among the ancestors, or the lease is not there.
    Dead,
    /// The head has changed, so the swap cannot land any more, but the head has not reached its generation.
    /// The swap may have landed before a person restored an older head over it. So its versions are kept.
    Superseded,
    /// The head is still the one that the swap named: it may still land.
    Open,
}

/// The part of the outcome that the head alone decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ByHead {
    Decided(Fate),
    /// Ancestors that the head names have to be read.
    Further(Search),
}

/// A search for a version among all ancestors of a head. The caller reads each record that
/// [`next`](Self::next) returns and passes it to [`read`](Self::read).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    name: VersionName,
    next: Vec<VersionRef>,
    seen: BTreeSet<VersionName>,
    /// A record does not name its parents as it must: what is behind it is unknown.
    is_damaged: bool,
}

impl Search {
    fn of(name: &VersionName) -> Self {
        Self { name: *name, next: Vec::new(), seen: BTreeSet::new(), is_damaged: false }
    }

    /// Returns the version whose record has to be read next; none at the [end](Self::end).
    pub(crate) fn next(&mut self) -> Option<VersionRef> {
        while let Some(named) = self.next.pop() {
            if self.seen.insert((named.generation, named.version_id)) {
                return Some(named);
            }
        }
        None
    }

    /// Takes in a record. Returns whether it names the version that is sought.
    pub(crate) fn read(&mut self, record: &VersionRecord) -> bool {
        let (generation, version_id) = &self.name;
        let is_sought = |it: &VersionRef| it.generation == *generation && it.version_id == *version_id;
        if record.older_parents().any(is_sought) {
            return true;
        }
        let has_lost_parents = record.older_parents().count() < record.parents.len().max(1);
        self.is_damaged |= has_lost_parents && record.generation > 1;
        self.next.extend(record.older_parents().filter(|it| it.generation > *generation).cloned());
        false
    }

    /// The outcome where no ancestor was the version that is sought; none if a damaged record may hide it.
    pub(crate) fn end(&self) -> Option<Fate> {
        (!self.is_damaged).then_some(Fate::Dead)
    }
}

fn told(landed: bool) -> Fate {
    if landed { Fate::Landed } else { Fate::Dead }
}

impl HeadSwap {
    /// Returns the outcome of the swap according to the head, which was read after it.
    ///
    /// # Errors
    /// The chain cannot be read back that far.
    pub(crate) async fn fate(&self, objects: &Objects, stored: &StoredHead) -> Result<Fate> {
        let mut search = match self.fate_by_head(stored) {
            ByHead::Decided(fate) => return Ok(fate),
            ByHead::Further(search) => search,
        };
        let id = &stored.head.id;
        while let Some(named) = search.next() {
            let record = match objects.record(id, &named).await {
                Err(error) if error.is_of_one_object() => return Err(cannot_tell(id, &error.to_string())),
                read => read?,
            };
            if search.read(&record) {
                return Ok(Fate::Landed);
            }
        }
        search.end().ok_or_else(|| cannot_tell(id, "one has not the parents that it must have"))
    }

    /// Decides the outcome as far as the head itself tells. Pure, so that tests can cover every case.
    pub(crate) fn fate_by_head(&self, stored: &StoredHead) -> ByHead {
        ByHead::Decided(if stored.version == self.named {
            Fate::Open
        } else if stored.head.nonce == self.head.nonce {
            Fate::Landed
        } else {
            let held = stored.head.lease.as_ref().map(|lease| &lease.id);
            match &self.sign {
                None => Fate::Dead,
                Some(Sign::Lease(granted)) => told(held == Some(granted)),
                Some(Sign::LeaseGone(gone)) => {
                    told(held != Some(gone) && stored.head.ended == self.head.ended)
                }
                Some(Sign::Version(name)) => return in_chain(name, &stored.head),
            }
        })
    }
}

fn in_chain(name: &VersionName, head: &Head) -> ByHead {
    let (generation, version_id) = name;
    let Some(current) = head.current.as_ref().filter(|now| now.record.generation >= *generation) else {
        return ByHead::Decided(Fate::Superseded);
    };
    if (current.record.generation, &current.record.version_id) == (*generation, version_id) {
        return ByHead::Decided(Fate::Landed);
    }
    let mut search = Search::of(name);
    if search.read(&current.record) {
        return ByHead::Decided(Fate::Landed);
    }
    match search.end() {
        Some(dead) if search.next.is_empty() => ByHead::Decided(dead),
        _ => ByHead::Further(search),
    }
}

fn cannot_tell(id: &WorkflowId, cause: &str) -> Error {
    corrupt(&keys::head(id), format!("not all ancestors of its version can be read: {cause}"))
}

#[cfg(test)]
mod tests {
    use pflow_backend::{Environment, ManualEnvironment};

    use super::*;
    use crate::format::{
        Current, Ended, Lease, VersionId,
        version::tests::{next, record},
    };

    fn version_id(letter: char) -> VersionId {
        VersionId::parse(letter.to_string().repeat(26)).unwrap()
    }

    /// Returns a head with this chain: one letter for the version of each generation.
    fn head(chain: &str) -> Head {
        let current = versions(chain).pop();
        Head { nonce: "theirs".to_owned(), current, ..Head::new(WorkflowId::parse("a").unwrap()) }
    }

    /// Returns the versions of this chain, the first one first.
    fn versions(chain: &str) -> Vec<Current> {
        let mut versions: Vec<Current> = Vec::new();
        for (generation, letter) in (1..).zip(chain.chars()) {
            let record = VersionRecord { version_id: version_id(letter), ..record(generation, b"x") };
            versions.push(next(versions.last(), record));
        }
        versions
    }

    /// Returns a head with this lease, after which a lease was taken away by `ended`.
    fn leased(lease: Option<&str>, ended: Option<&str>) -> Head {
        let environment = ManualEnvironment::new(1);
        let (identity, now) = (environment.identity(), environment.now());
        let lease = lease.map(|name| {
            let (id, minute) = (LeaseId::parse(name).unwrap(), std::time::Duration::from_secs(60));
            Lease::grant(id, 1, "edit".to_owned(), None, identity, now, minute)
        });
        let ended = ended.map(|by| Ended {
            lease_id: LeaseId::parse("held").unwrap(),
            fence: 1,
            how: Ended::BROKEN.to_owned(),
            by: by.to_owned(),
            at: now,
            extra: serde_json::Map::new(),
        });
        Head { lease, ended, ..head("a") }
    }

    #[test]
    fn fate_is_decided_by_the_head_alone() {
        use Fate::{Dead, Landed, Open, Superseded};
        let lease = |name: &str| LeaseId::parse(name).unwrap();
        let version = || Some(Sign::Version((2, version_id('b'))));
        let (held, gone) = (|| Some(Sign::Lease(lease("mine"))), || Some(Sign::LeaseGone(lease("held"))));
        let ours = |head: Head| Head { nonce: "ours".to_owned(), ..head };
        let (named, later) = (Some("named"), Some("later"));
        for (sign, stored, at, fate) in [
            (version(), head("a"), named, Open),
            (version(), ours(head("ab")), later, Landed),
            (version(), head("ab"), later, Landed),
            (version(), head("abc"), later, Landed),
            (version(), head("ac"), later, Dead),
            (version(), head("acd"), later, Dead),
            // The fence of a fold, or a person put an older head back, or removed it.
            (version(), head("a"), later, Superseded),
            (version(), head(""), later, Superseded),
            (version(), head(""), None, Superseded),
            (held(), leased(None, None), named, Open),
            (held(), ours(leased(None, None)), later, Landed),
            (held(), leased(Some("mine"), None), later, Landed),
            (held(), leased(Some("other"), None), later, Dead),
            (held(), leased(None, None), later, Dead),
            (gone(), leased(Some("held"), None), named, Open),
            (gone(), leased(None, Some("me")), later, Landed),
            (gone(), leased(Some("next"), Some("me")), later, Landed),
            (gone(), leased(Some("held"), Some("me")), later, Dead),
            (gone(), leased(None, Some("other")), later, Dead),
            (gone(), leased(None, None), later, Dead),
            (None, head("ab"), named, Open),
            (None, ours(head("ab")), later, Landed),
            (None, head("ab"), later, Dead),
        ] {
            let swap =
                HeadSwap { named: named.map(Version::new), head: ours(leased(None, Some("me"))), sign };
            let stored = StoredHead { head: stored, version: at.map(Version::new) };
            assert_eq!(swap.fate_by_head(&stored), ByHead::Decided(fate), "{:?} {stored:?}", swap.sign);
        }
    }

    #[test]
    fn creation_of_a_head_may_land_while_there_is_none() {
        let swap = HeadSwap { named: None, head: head("a"), sign: Some(Sign::Version((1, version_id('a')))) };
        let stored = StoredHead { head: head(""), version: None };
        assert_eq!(swap.fate_by_head(&stored), ByHead::Decided(Fate::Open));
    }

    /// Returns the fate of a swap to the version `name`, where the records of `versions` can be read, and how
    /// many of them were.
    fn fate(name: &VersionName, head: Head, versions: &[Current]) -> (Fate, usize) {
        let stored = StoredHead { head, version: Some(Version::new("later")) };
        let ours = Head { nonce: "ours".to_owned(), ..stored.head.clone() };
        let sign = Some(Sign::Version(*name));
        let swap = HeadSwap { named: Some(Version::new("named")), head: ours, sign };
        let mut search = match swap.fate_by_head(&stored) {
            ByHead::Decided(fate) => return (fate, 0),
            ByHead::Further(search) => search,
        };
        let mut reads = 0;
        while let Some(named) = search.next() {
            reads += 1;
            let is_named = |it: &&Current| it.record.version_id == named.version_id;
            if search.read(&versions.iter().find(is_named).unwrap().record) {
                return (Fate::Landed, reads);
            }
        }
        (search.end().unwrap_or(Fate::Superseded), reads)
    }

    /// Only an end of the chain that is one proves that a version is not in it.
    #[test]
    fn damaged_record_leaves_the_fate_open() {
        let mut versions = versions("abcdef");
        let orphan = |it: &mut Current| it.record.parents.clear();
        versions.get_mut(3).map(orphan).unwrap();
        let told = |letter, head| fate(&(2, version_id(letter)), head, &versions).0;
        assert_eq!(told('z', head("abcdef")), Fate::Superseded, "no answer");
        let mut current = head("abc");
        current.current.as_mut().map(orphan).unwrap();
        let swapped = |mut head: Head| {
            let parents = &mut head.current.as_mut().unwrap().record.parents;
            parents.iter_mut().for_each(|parent| parent.generation = 9);
            head
        };
        assert_eq!(told('z', current), Fate::Superseded, "no answer");
        assert_eq!(told('z', swapped(head("abc"))), Fate::Superseded, "no answer");
    }

    #[test]
    fn ancestors_that_the_head_does_not_name_are_read() {
        let chain = "abcdefghijklmnopqrst";
        let versions = versions(chain);
        for (generation, reads) in [(20, 0), (19, 0), (18, 1), (1, 18)] {
            let letter = chain.chars().nth(usize::try_from(generation).unwrap() - 1).unwrap();
            let name = |letter| (generation, version_id(letter));
            assert_eq!(fate(&name(letter), head(chain), &versions), (Fate::Landed, reads));
            assert_eq!(fate(&name('z'), head(chain), &versions), (Fate::Dead, reads));
        }
    }

    /// Another device merged the version `y`, which did land here, into a chain of its own.
    #[test]
    fn version_that_became_a_second_parent_has_landed() {
        let mut versions = versions("abcde");
        let theirs = next(versions.get(1), VersionRecord { version_id: version_id('y'), ..record(3, b"x") });
        let merged = versions.last_mut().unwrap();
        merged.record.parents.push(theirs.reference());
        let last = next(versions.last(), VersionRecord { version_id: version_id('f'), ..record(6, b"x") });
        let head = Head { current: Some(last), ..head("a") };
        versions.push(theirs);
        let told = |letter| fate(&(3, version_id(letter)), head.clone(), &versions);
        assert_eq!((told('y').0, told('c').0, told('z').0), (Fate::Landed, Fate::Landed, Fate::Dead));
    }
}
