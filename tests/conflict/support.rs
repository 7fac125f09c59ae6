//! Creates stores with a chosen conflict.

use std::time::Duration;

use bytes::Bytes;
use pflow_store::{
    ChangeRequest, Conflict, Error, Expect, LeaseId, LeaseRequest, Result, SaveRequest, Saved, Store,
    conflict::Obstacle,
};

use pflow_testkit::{Site, id};

/// The file that people edit, with `*` for the workflow.
pub(crate) const COPY: &str = "workflows/*/workflow.json";

/// Returns a workflow with two nodes, so that two edits need not overlap.
pub(crate) fn doc(a: &str, b: &str) -> String {
    let node =
        |id, text| format!(r#"    {{ "id": "{id}", "type": "echo", "params": {{ "text": "{text}" }} }}"#);
    format!("{{\n  \"nodes\": [\n{},\n{}\n  ]\n}}\n", node("a", a), node("b", b))
}

/// Returns the texts of both nodes.
pub(crate) fn texts(content: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(content).unwrap();
    let text = |at: usize| value["nodes"][at]["params"]["text"].as_str().unwrap().to_owned();
    format!("{},{}", text(0), text(1))
}

/// The state that a save of `2,1` meets. Unless stated otherwise it was built on generation 1 with `1,1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Situation {
    Free,
    Locked,
    /// They saved `1,2`.
    Stale,
    /// They saved `3,1`.
    Overlapping,
    /// They saved the same document as ours.
    Twins,
    /// Generation 9 is expected, where there is generation 1.
    Future,
    /// The workflow never existed.
    Never,
    Deleted,
    /// Deleted, and ours is what was deleted.
    DeletedUntouched,
    /// The workflow exists with `1,2`, and our save expects that it does not.
    Exists,
    ExistsAlike,
    LeaseLost,
    LockedAndStale,
    /// A person made it `1,2`.
    Edited,
    /// A person made it `1,2`, and ours is what the head has already.
    EditedBack,
    /// A person made it `3,1`.
    EditedOverlapping,
    EditedBadly,
    /// They saved `1,2`, and a person made that `1,3`.
    EditedAndStale,
    /// A file with `1,2` was created where no workflow is.
    PutThere,
}

impl Situation {
    pub(crate) fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::Edited
                | Self::EditedBack
                | Self::EditedOverlapping
                | Self::EditedBadly
                | Self::EditedAndStale
                | Self::PutThere
        )
    }

    /// The edit that a person made in the working copy.
    pub(crate) fn edit(self) -> String {
        match self {
            Self::EditedOverlapping => doc("3", "1"),
            Self::EditedBadly => "{ \"nodes\": [".to_owned(),
            Self::EditedAndStale => doc("1", "3"),
            _ => doc("1", "2"),
        }
    }

    /// Creates this state and returns the save that meets it.
    pub(crate) async fn bring(self, site: &Site, store: &Store, other: &Store, name: &str) -> SaveRequest {
        let save = |a: &str, b: &str, expect| SaveRequest::new(id(name), doc(a, b), expect);
        let theirs = async |a: &str, b: &str| other.save(save(a, b, Expect::Any)).await.unwrap();
        if !matches!(self, Self::Never | Self::Exists | Self::ExistsAlike | Self::PutThere) {
            store.save(save("1", "1", Expect::Absent)).await.unwrap();
        }
        let ours = save("2", "1", Expect::Generation(1));
        match self {
            Self::Free | Self::Future | Self::Never | Self::Edited | Self::EditedBack => {}
            Self::EditedOverlapping | Self::EditedBadly | Self::PutThere => {}
            Self::Locked | Self::LockedAndStale => {
                if self == Self::LockedAndStale {
                    theirs("1", "2").await;
                }
                other.acquire(&id(name), LeaseRequest::new("edit", Duration::from_secs(600))).await.unwrap();
            }
            Self::Stale | Self::EditedAndStale | Self::Exists => drop(theirs("1", "2").await),
            Self::Overlapping => drop(theirs("3", "1").await),
            Self::Twins | Self::ExistsAlike => drop(theirs("2", "1").await),
            Self::Deleted | Self::DeletedUntouched => {
                other.delete(ChangeRequest::new(id(name), Expect::Any)).await.unwrap();
            }
            Self::LeaseLost => {}
        }
        if self.needs_a_person() {
            site.put(&COPY.replace('*', name), self.edit()).await;
        }
        match self {
            Self::Future => save("2", "1", Expect::Generation(9)),
            Self::Exists | Self::ExistsAlike | Self::PutThere => save("2", "1", Expect::Absent),
            Self::DeletedUntouched | Self::EditedBack => save("1", "1", Expect::Generation(1)),
            Self::LeaseLost => ours.lease(LeaseId::parse("mine").unwrap()),
            _ => ours,
        }
    }
}

/// Returns every acknowledged generation with its content.
pub(crate) struct Known(Vec<(u64, Bytes)>);

impl Known {
    pub(crate) async fn of(store: &Store, name: &str) -> Self {
        let mut known = Vec::new();
        let newest = store.show(&id(name)).await.map_or(0, |head| head.generation());
        for generation in 1..=newest {
            if let Ok(loaded) = store.load_generation(&id(name), generation).await {
                known.push((generation, loaded.content));
            }
        }
        Self(known)
    }

    pub(crate) async fn is_still_there(&self, store: &Store, name: &str) {
        for (generation, content) in &self.0 {
            let loaded = store.load_generation(&id(name), *generation).await.unwrap();
            assert_eq!(loaded.content, content, "generation {generation} of {name}");
        }
    }
}

/// Describes the result of a change: `=` for unchanged, the generation, the content and how the conflict was
/// resolved; or the error, with `!` if the resolution does not fit the conflict.
pub(crate) async fn shown(store: &Store, name: &str, result: &Result<Saved>) -> String {
    let saved = match result {
        Ok(saved) => saved,
        Err(Error::Conflict(conflict)) => return wrong(conflict),
        Err(other) => panic!("{name}: {other}"),
    };
    let content = match saved.hash {
        Some(_) => texts(&store.load_generation(&saved.id, saved.generation).await.unwrap().content),
        None => "gone".to_owned(),
    };
    let unchanged = if saved.unchanged { "=" } else { "" };
    let mut text = format!("{unchanged}{} {content}", saved.generation);
    if let Some(resolved) = &saved.resolved {
        let how = resolved.how.as_ref().map_or("waited", |how| how.as_str());
        text = format!("{text} {how}");
        if resolved.broken.is_some() && how != "overridden" {
            text.push_str(" broken");
        }
        if let Some(kept) = resolved.kept_edit {
            text = format!("{text} kept {kept}");
        }
    }
    text
}

fn wrong(conflict: &Conflict) -> String {
    let word = match conflict.cause() {
        Conflict::Locked { .. } => "locked",
        Conflict::Version { .. } => "version",
        Conflict::DeletedMeanwhile { .. } => "deleted",
        Conflict::Exists { .. } => "exists",
        Conflict::ModifiedOutside { .. } => "edited",
        Conflict::LeaseLost { .. } => "lease lost",
        other => panic!("{other}"),
    };
    match conflict.obstacle() {
        None => word.to_owned(),
        Some(Obstacle::Unfit { .. }) => format!("{word}!"),
        Some(Obstacle::Overlaps(overlaps)) => {
            let paths: Vec<_> = overlaps.iter().map(|overlap| overlap.path.to_string()).collect();
            paths.join(" ")
        }
        Some(Obstacle::Deletion) => "deletion".to_owned(),
        Some(Obstacle::BaseMissing { .. }) => "no base".to_owned(),
        Some(Obstacle::UnusableEdit { .. }) => "unusable".to_owned(),
        Some(other) => panic!("{other}"),
    }
}
