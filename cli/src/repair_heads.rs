//! `verify --repair`: moves the heads of workflows that were lost, and brings copies and mirrors in line.

use pflow_store::{Store, format::VersionId, health::RepairPlan};

use super::{
    confirm,
    documents::{Repair, Undecided},
    failure::{Failure, Result},
    output::printable,
    session::Session,
};

/// What a repair did, or would do.
#[derive(Debug)]
pub(super) struct Repaired {
    document: Repair,
    failure: Option<Failure>,
}

impl Repaired {
    /// Returns the document for `--json`.
    pub(super) fn document(&self) -> &Repair {
        &self.document
    }

    /// Takes the failure that ended the repair early, if there is one.
    pub(super) fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Returns whether a person must choose a version for some head.
    pub(super) fn is_undecided(&self) -> bool {
        self.document.undecided.iter().any(|head| !head.tips.is_empty())
    }

    /// Returns the lines for a person.
    pub(super) fn describe(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for head in &self.document.moved {
            let done = if self.document.dry_run { "would be moved" } else { "was moved" };
            let (id, to, version) = (&head.id, head.to, &head.version_id);
            lines.push(format!(
                "REPAIR  {id}: its head {done} to generation {to} ({version}), with the fence {}",
                head.fence
            ));
            lines.extend(head.from.map(|from| {
                format!("        the content before is generation {from}: `load {id} --generation {from}` prints it; save that to return to it")
            }));
            lines.extend(head.missing.iter().map(|key| format!("        missing and not restored: {key}")));
            if head.keeps_edit {
                lines.push(
                    "        its working copy holds an edit of a person, which stays as it is".to_owned(),
                );
            }
        }
        for head in &self.document.undecided {
            let Undecided { id, reason, why, tips } = head;
            if tips.is_empty() {
                lines.push(format!("LEFT    {id}: {reason}; {why}"));
                continue;
            }
            lines.push(format!("CHOOSE  {id}: {reason}; {why}; take one of these with `--take VERSION-ID`"));
            lines.extend(head.tips.iter().map(|tip| {
                format!(
                    "        generation {}  {}  {} by {}",
                    tip.generation, tip.version_id, tip.modified, tip.author
                )
            }));
        }
        lines.extend(
            self.document.would_be_in_line.iter().map(|id| {
                format!("REPAIR  {id}: its working copy and workflow.lock would be brought in line")
            }),
        );
        lines.extend(
            self.document
                .in_line
                .iter()
                .map(|key| format!("REPAIR  {key}: it was brought in line with the head")),
        );
        lines.extend(
            self.document
                .changed
                .iter()
                .map(|id| format!("CHANGED {id}: it changed meanwhile and was left as it is")),
        );
        lines.extend(self.document.failed.iter().map(|id| {
            format!("FAILED  {id}: it could not be repaired; the workflows behind it were not tried")
        }));
        lines.iter().map(|line| printable(line).into_owned()).collect()
    }
}

/// Plans the repair, asks, and carries it out. Returns only the plan if the person says no.
pub(super) async fn repair(
    session: &Session<'_>,
    store: &Store,
    take: &[String],
    dry_run: bool,
    yes: bool,
) -> Result<Repaired> {
    let take = take.iter().map(|text| {
        VersionId::parse(text.as_str()).map_err(|_| {
            Failure::usage(format!("{text:?} is no version id"))
                .with_hint("see the ids with `verify --repair -n`")
        })
    });
    let take: Vec<VersionId> = take.collect::<Result<_>>()?;
    let plan: RepairPlan = session.reading(store.plan_repair(&take)).await?;
    let mut planned = Repair::of(true, &plan.moves, &plan.undecided);
    planned.would_be_in_line = plan.out_of_line.iter().map(ToString::to_string).collect();
    if dry_run || plan.moves.is_empty() && plan.out_of_line.is_empty() {
        return Ok(Repaired { document: Repair { dry_run, ..planned }, failure: None });
    }
    let planned = Repaired { document: planned, failure: None };
    // Copies and mirrors are repaired without a question, because nothing is lost by that.
    if !yes && !plan.moves.is_empty() {
        for line in planned.describe() {
            session.output.note(&line);
        }
        let question = format!("Move the heads of {} workflows? [y/N] ", plan.moves.len());
        if !confirm::ask(session, "move the heads", "move them", &question).await? {
            session.output.note("left as it is");
            return Ok(planned);
        }
    }
    let undecided = plan.undecided.clone();
    let done = session.changing("the repair".to_owned(), None, store.repair(plan)).await?;
    let changed = done.changed.iter().map(ToString::to_string).collect();
    let (failed, failure) = done.failed.map(|(id, error)| (id.to_string(), error.into())).unzip();
    let in_line = done.in_line;
    let document = Repair { in_line, changed, failed, ..Repair::of(false, &done.moved, &undecided) };
    Ok(Repaired { document, failure })
}
