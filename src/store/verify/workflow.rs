use std::collections::BTreeMap;

use pflow_backend::Key;

use super::{Report, Severity, found};
use crate::{
    ErrorKind, Remedy, Result, Store,
    format::{Current, Head, Jump, Lockfile, VersionRecord, VersionRef, WorkflowId, keys},
    repo::{ParentWalk, VersionName},
    store::copy::CopyState,
};

/// The result of walking a chain.
#[derive(Default)]
pub(super) struct Chain {
    walk: ParentWalk,
    /// The highest generation at which it is broken; 0 if it is complete.
    pub(super) broken_at: u64,
    /// The versions along the first parents, by their depth.
    by_depth: BTreeMap<u64, VersionRef>,
    /// All jumps that were read.
    jumps: Vec<Jump>,
    /// Those of the head and of the versions along its first parents, with the key of the object that names
    /// each.
    own_jumps: Vec<(Key, Jump)>,
}

impl Chain {
    /// Whether the chain names the version.
    pub(super) fn has(&self, name: &VersionName) -> bool {
        self.walk.seen.contains(name)
    }

    /// The nearest version below a break that a jump names and the walk has not reached. The walk continues
    /// with its parents.
    fn behind_a_break(&self) -> Option<VersionRef> {
        let is_unseen =
            |jump: &&Jump| jump.generation < self.broken_at && !self.has(&(jump.generation, jump.version_id));
        self.jumps.iter().filter(is_unseen).max_by_key(|jump| jump.generation).map(Jump::reference)
    }

    /// The keys of the objects whose jump is not the version that the first parents lead to at its depth.
    fn wrong_jumps(&self) -> impl Iterator<Item = (&Key, u64)> {
        let is_wrong = |(_, jump): &&(Key, Jump)| {
            self.by_depth.get(&jump.depth).is_some_and(|version| *version != jump.reference())
        };
        self.own_jumps.iter().filter(is_wrong).map(|(key, jump)| (key, jump.depth))
    }
}

impl Store {
    /// Checks once everything that belongs to a workflow.
    pub(super) async fn verify_workflow(&self, id: &WorkflowId) -> Result<Report> {
        let mut report = Report::default();
        let head = match self.shared.objects.head(id).await {
            Ok(stored) => stored.head,
            // A newer program or another user can read it, so it is not lost.
            Err(others) if matches!(others.kind(), ErrorKind::Incompatible | ErrorKind::Failed) => {
                report.unreadable(keys::head(id), others)?;
                return Ok(report);
            }
            Err(unreadable) => {
                let reason = found(unreadable)?;
                self.verify_lost_head(id, Some(reason), &mut report).await?;
                return Ok(report);
            }
        };
        if let Some(current) = &head.current {
            report.workflows = 1;
            let chain = self.verify_chain(&head, current, &mut report).await?;
            self.verify_lineage(&head, &chain, &mut report).await?;
            // If the head is hurt, a copy of a later version looks like an edit. And a content of an unknown
            // media type has a file name that only a newer program knows.
            if report.hurt.is_empty() && current.record.media_type.known().is_ok() {
                self.verify_copy(&head, &mut report).await?;
            }
        } else {
            self.verify_lost_head(id, None, &mut report).await?;
        }
        self.verify_mirror(&head, &mut report).await?;
        Ok(report)
    }

    /// Verifies every version from the current one along all parents. The parents of a lost version are
    /// unknown; the walk continues with the ancestors that jumps name.
    async fn verify_chain(&self, head: &Head, current: &Current, report: &mut Report) -> Result<Chain> {
        let head_key = keys::head(&head.id);
        let mut chain = Chain::default();
        chain.jumps.extend(current.chain().cloned());
        chain.own_jumps.extend(current.chain().map(|jump| (head_key.clone(), jump.clone())));
        chain.walk.add(current.reference(), true);
        // The depth of the version that comes next along the first parents; the newest one tells its own.
        let mut next_depth = None;
        let mut next_merges = None;
        loop {
            let Some((named, is_first)) = chain.walk.next() else {
                let Some(behind) = chain.behind_a_break() else { break };
                chain.walk.add(behind, false);
                continue;
            };
            let key = keys::version(&head.id, named.generation, &named.version_id);
            let version = match self.shared.objects.named_version(&head.id, &named).await {
                Ok(version) => version,
                Err(unreadable) => {
                    report.unreadable(&key, unreadable)?;
                    chain.broken_at = chain.broken_at.max(named.generation);
                    continue;
                }
            };
            report.versions += 1;
            let record = &version.record;
            if named == current.reference() {
                if *record != current.record {
                    report.damage(&head_key, format!("it contradicts {key}"));
                }
                if version.content.is_none() && !record.deleted {
                    report.damage(&key, "its content is missing");
                }
            }
            chain.jumps.extend(record.jump.clone());
            let jumps_back = |jump: &Jump| jump.depth < record.depth && jump.generation < record.generation;
            if record.jump.as_ref().map_or(record.depth > 1, |jump| !jumps_back(jump)) {
                report.damage(&key, "its jump is not to an ancestor".to_owned());
            }
            if is_first {
                let depth = next_depth.unwrap_or(record.depth);
                if record.depth != depth || (record.parents.is_empty() && depth != 1) {
                    report.damage(&key, format!("it says that its depth is {}, not {depth}", record.depth));
                }
                chain.by_depth.insert(depth, named);
                chain.own_jumps.extend(record.jump.clone().map(|jump| (key.clone(), jump)));
                next_depth = Some(depth.saturating_sub(1));
                let merges = next_merges.unwrap_or(record.merges);
                let merges_here = u64::from(record.is_merge());
                if record.merges != merges || record.merges < merges_here || (depth == 1 && merges != 0) {
                    let says = record.merges;
                    report.damage(&key, format!("it says that {says} merges lead to it, which is wrong"));
                }
                next_merges = Some(merges.saturating_sub(merges_here));
            }
            if let Some(parent) = record.parents.iter().find(|parent| parent.generation >= record.generation)
            {
                report.damage(&key, format!("its parent has generation {}", parent.generation));
                continue;
            }
            check_generation(&key, record, report);
            chain.walk.go_on(record, is_first);
        }
        for (key, depth) in chain.wrong_jumps() {
            report.damage(key, format!("it names another version of depth {depth} than its parents lead to"));
        }
        Ok(chain)
    }

    async fn verify_copy(&self, head: &Head, report: &mut Report) -> Result<()> {
        let id = &head.id;
        let key = keys::copy_of(head);
        let live = head.live().is_some();
        match self.copy_state(id).await {
            Ok(None | Some(CopyState::Current(_) | CopyState::Noted(..))) => {}
            Ok(Some(CopyState::Absent)) if !live => {}
            Ok(Some(CopyState::Absent)) => {
                report.add(
                    Severity::Notice,
                    key,
                    "missing; the version has the content",
                    Some(Remedy::Load { id: id.clone() }),
                );
                report.out_of_line.insert(id.clone());
            }
            Ok(Some(CopyState::Lagging(_))) if live => {
                report.add(
                    Severity::Notice,
                    key,
                    "behind its head; the version has the content",
                    Some(Remedy::Load { id: id.clone() }),
                );
                report.out_of_line.insert(id.clone());
            }
            Ok(Some(CopyState::Lagging(_))) => {
                let remedy = Some(Remedy::RemoveLeftovers);
                report.add(Severity::Notice, key, "left over; the workflow is deleted", remedy);
                report.out_of_line.insert(id.clone());
            }
            Ok(Some(CopyState::Edited(..))) => {
                let remedy = Remedy::SaveEdit { id: id.clone(), key: key.to_string() };
                report.add(
                    Severity::Notice,
                    key,
                    "modified outside of the store; the edit is not saved",
                    Some(remedy),
                );
            }
            // The head and the chain have been read already, so the error is about the copy.
            Err(unreadable) => report.unreadable(key, unreadable)?,
        }
        Ok(())
    }

    async fn verify_mirror(&self, head: &Head, report: &mut Report) -> Result<()> {
        let key = keys::lockfile(&head.id);
        let mirror = match self.shared.objects.get(&key).await {
            Ok(mirror) => mirror,
            // The lock does not depend on the mirror.
            Err(unreadable) => {
                let reason = format!("{}; it is left alone, and the head decides", found(unreadable)?);
                report.add(Severity::Notice, key, reason, None);
                return Ok(());
            }
        };
        // The head and the mirror must be compared as of the same moment.
        match self.shared.objects.head(&head.id).await {
            Ok(again) if again.head.lease == head.lease => {}
            Ok(_) => return Ok(()),
            // The head was readable a moment ago: another client or a person is changing it.
            Err(error) if error.spares_others() => return Ok(()),
            Err(other) => return Err(other),
        }
        let says: Option<Lockfile> =
            mirror.as_ref().and_then(|mirror| serde_json::from_slice(&mirror.bytes).ok());
        let should = head.lease.as_ref().map(Lockfile::from);
        let reason = match (&mirror, &should) {
            (None, None) => return Ok(()),
            (None, Some(_)) => "missing; the head has the lease",
            (Some(_), None) => "left over; the workflow is not locked",
            (Some(_), Some(_)) if says == should => return Ok(()),
            (Some(_), Some(_)) => "not what the head says; the head decides",
        };
        report.add(Severity::Notice, key, reason, Some(Remedy::InspectLock { id: head.id.clone() }));
        report.out_of_line.insert(head.id.clone());
        Ok(())
    }
}

/// Checks that the generation of a version follows from its parents.
fn check_generation(key: &Key, record: &VersionRecord, report: &mut Report) {
    let highest = record.older_parents().map(|parent| parent.generation).max().unwrap_or(0);
    let (says, is) = (record.generation, highest.saturating_add(1));
    if says != is {
        report.damage(key, format!("it says that its generation is {says}, not {is}"));
    }
}
