use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};

use super::{Store, copy::CopyState};
use crate::{
    Error, Result,
    document::MediaType,
    index::Entry,
    stored::{Ancestor, Current, Head, Lockfile, WorkflowId, layout},
};

/// How many workflows are verified side by side.
const LOOK_AHEAD: usize = 16;

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many workflows were verified, deleted ones included.
    pub workflows: usize,
    /// How many versions of their chains.
    pub versions: usize,
    /// What was found, by key.
    pub findings: Vec<Finding>,
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The object.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub reason: String,
    /// What mends it, where something does.
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// Something is lost or contradicts itself.
    Damage,
    /// Nothing is lost: what a crash or a person left behind, which the store deals with by itself or leaves to them.
    Notice,
}

impl Report {
    /// Nothing is lost and nothing contradicts itself.
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|finding| finding.severity == Severity::Damage)
    }

    fn add(&mut self, severity: Severity, key: impl ToString, reason: impl ToString, hint: Option<String>) {
        let (key, reason) = (key.to_string(), reason.to_string());
        self.findings.push(Finding { key, severity, reason, hint });
    }

    fn damage(&mut self, key: impl ToString, reason: impl ToString) {
        self.add(Severity::Damage, key, reason, None);
    }
}

impl Store {
    /// Reads everything and holds it against itself: heads, every version of every chain with its hashes, copies, mirrors of leases, the
    /// index against the heads, and the history of the index. Changes nothing, and others may go on writing.
    ///
    /// # Errors
    /// Errors of the storage. What is damaged is a finding.
    pub async fn verify(&self) -> Result<Report> {
        let shared = &self.shared;
        let keys = shared.objects.keys(&layout::workflows()).await?;
        let ids: BTreeSet<WorkflowId> = keys.iter().filter_map(layout::parse_head).collect();
        let mut checks = stream::iter(ids.clone()).map(|id| self.verify_workflow(id)).buffered(LOOK_AHEAD);
        let mut report = Report::default();
        while let Some(one) = checks.next().await {
            let one = one?;
            report.workflows += one.workflows;
            report.versions += one.versions;
            report.findings.extend(one.findings);
        }
        drop(checks);
        self.verify_index(&ids, &mut report).await?;
        self.verify_pending(&mut report).await?;
        report.findings.sort();
        Ok(report)
    }

    async fn verify_workflow(&self, id: WorkflowId) -> Result<Report> {
        let mut report = Report::default();
        let head_key = layout::head(&id);
        let head = match self.shared.objects.head(&id).await {
            Ok(stored) => stored.head,
            Err(unreadable) => {
                report.damage(&head_key, found(unreadable)?);
                return Ok(report);
            }
        };
        if let Some(current) = &head.current {
            report.workflows = 1;
            let chain = self.verify_chain(&head, current, &mut report).await?;
            self.verify_leftovers(&head, &chain, &mut report).await?;
            self.verify_copy(&head, &mut report).await?;
        }
        self.verify_mirror(&head, &mut report).await?;
        Ok(report)
    }

    /// Every version from the current one along all parents. The versions that the chain names, by generation and version id.
    async fn verify_chain(
        &self,
        head: &Head,
        current: &Current,
        report: &mut Report,
    ) -> Result<BTreeSet<(u64, String)>> {
        let mut seen = BTreeSet::new();
        let mut remembered =
            current.lineage().map(|known| (known.generation, known)).collect::<BTreeMap<_, Ancestor>>();
        let mut next = vec![current.reference()];
        while let Some(named) = next.pop() {
            if !seen.insert((named.generation, named.version_id.clone())) {
                continue;
            }
            let key = layout::version(&head.id, named.generation, &named.version_id);
            let version = match self.shared.objects.named_version(&head.id, &named).await {
                Ok(version) => version,
                Err(unreadable) => {
                    report.damage(&key, found(unreadable)?);
                    continue;
                }
            };
            report.versions += 1;
            let record = &version.record;
            let is_current = named == current.reference();
            if is_current && *record != current.record {
                report.damage(layout::head(&head.id), format!("it contradicts {key}"));
            }
            if is_current && version.content.is_none() && !record.deleted {
                report.damage(&key, "its content is missing");
            }
            if let Some(known) = remembered.remove(&record.generation)
                && known != Ancestor::from(record)
                && known.version_id == record.version_id
            {
                report.damage(layout::head(&head.id), format!("what it remembers of {key} is not so"));
            }
            if let Some(parent) = record.parents.iter().find(|parent| parent.generation >= record.generation)
            {
                report.damage(&key, format!("its parent has generation {}", parent.generation));
            } else {
                next.extend(record.parents.iter().cloned());
            }
        }
        Ok(seen)
    }

    /// Versions that no chain names: attempts that lost or died, or that are under way right now.
    async fn verify_leftovers(
        &self,
        head: &Head,
        chain: &BTreeSet<(u64, String)>,
        report: &mut Report,
    ) -> Result<()> {
        for key in self.shared.objects.keys(&layout::versions_of(&head.id)).await? {
            let named = layout::parse_version(&head.id, &key).is_some_and(|version| chain.contains(&version));
            if !named {
                report.add(
                    Severity::Notice,
                    key,
                    "no version of the chain: left by a crash, or under way",
                    None,
                );
            }
        }
        Ok(())
    }

    async fn verify_copy(&self, head: &Head, report: &mut Report) -> Result<()> {
        let id = &head.id;
        let key = layout::content(id, MediaType::Json);
        let live = head.live().is_some();
        match self.copy_state(id).await {
            Ok(CopyState::Current(_)) => {}
            Ok(CopyState::Absent) if !live => {}
            Ok(CopyState::Absent) => {
                report.add(
                    Severity::Notice,
                    key,
                    "missing; the version has the content",
                    Some(format!("load {id}")),
                );
            }
            Ok(CopyState::Lagging(_)) if live => {
                report.add(
                    Severity::Notice,
                    key,
                    "behind its head; the version has the content",
                    Some(format!("load {id}")),
                );
            }
            Ok(CopyState::Lagging(_)) => {
                report.add(Severity::Notice, key, "left over; the workflow is deleted", None);
            }
            Ok(CopyState::Edited(..)) => {
                let hint = format!("save {id} <store>/{key}");
                report.add(
                    Severity::Notice,
                    key,
                    "modified outside of the store; the edit is not saved",
                    Some(hint),
                );
            }
            // The chain has been reported already.
            Err(unreadable) => drop(found(unreadable)?),
        }
        Ok(())
    }

    async fn verify_mirror(&self, head: &Head, report: &mut Report) -> Result<()> {
        let key = layout::lockfile(&head.id);
        let mirror = self.shared.objects.get(&key).await?;
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
        report.add(Severity::Notice, key, reason, None);
        Ok(())
    }

    async fn verify_index(&self, ids: &BTreeSet<WorkflowId>, report: &mut Report) -> Result<()> {
        let index = &self.shared.index;
        let view = index.view().await?;
        let reindex = || Some("reindex".to_owned());
        let root = layout::index_root();
        if view.rebuilt && !ids.is_empty() {
            report.add(
                Severity::Notice,
                &root,
                "the index is lost; it is read from the workflows",
                reindex(),
            );
        }
        let entries: BTreeMap<&WorkflowId, &Entry> =
            view.iter().map(|entry| (&entry.id, entry.as_ref())).collect();
        for (id, read) in self.shared.objects.heads(ids.iter().cloned().collect()).await {
            // Unreadable heads have been reported.
            let Ok(stored) = read else { continue };
            let (entry, should) = (entries.get(&id).copied(), Entry::of(&stored.head));
            // A head that moved on since the view was made is newer than its entry.
            let newer = should
                .as_ref()
                .is_some_and(|should| entry.is_none_or(|entry| entry.generation < should.generation));
            if entry != should.as_ref() && !(newer && self.indexed_meanwhile(&id).await?) {
                report.add(Severity::Damage, &root, format!("the index is wrong about {id}"), reindex());
            }
        }
        for id in entries.keys().filter(|id| !ids.contains(**id)) {
            if self.shared.objects.head(id).await.is_ok_and(|stored| stored.version.is_none()) {
                report.damage(layout::head(id), "missing, but the index knows the workflow");
            }
        }
        for (key, reason) in index.check_history().await? {
            report.damage(key, reason);
        }
        Ok(())
    }

    /// Whether a new look at the index agrees with a new look at the head.
    async fn indexed_meanwhile(&self, id: &WorkflowId) -> Result<bool> {
        let stored = self.shared.objects.head(id).await?;
        let view = self.shared.index.view().await?;
        let entry = view.iter().find(|entry| entry.id == *id);
        Ok(entry.is_some_and(|entry| entry.generation >= stored.head.generation()))
    }

    async fn verify_pending(&self, report: &mut Report) -> Result<()> {
        for key in self.shared.objects.keys(&layout::pending_records()).await? {
            let reason = match layout::parse_pending(&key) {
                None => "not a record of ours",
                Some((id, generation, _)) => match self.shared.objects.head(&id).await {
                    Ok(stored) if stored.head.generation() < generation => {
                        "a change that did not happen: left by a crash, or under way"
                    }
                    _ => continue,
                },
            };
            report.add(Severity::Notice, key, reason, None);
        }
        Ok(())
    }
}

/// What is wrong with an object that could be read but not understood; anything else ends the verification.
fn found(error: Error) -> Result<String> {
    match error {
        Error::Corrupt { reason, .. } => Ok(reason),
        Error::Format { source, .. } => Ok(std::error::Error::source(&source)
            .map_or_else(|| source.to_string(), |cause| format!("{source}: {cause}"))),
        other => Err(other),
    }
}
