use std::fmt;

use pflow_backend::ErrorKind as StorageErrorKind;
#[cfg(feature = "fs")]
use pflow_backend_fs::{LostTail, SharedFileSystem};

use crate::format::{LeaseId, WorkflowId};

/// What helps against an [`Error`](crate::Error), a [`Conflict`](crate::Conflict) or a
/// [`Finding`](crate::store::Finding).
///
/// It is data, so that a program can name its own commands and flags. `Display` names the calls of this
/// library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Remedy {
    /// Create the store, or name another place.
    CreateStore,
    /// Choose another place for the store; this one belongs to another program.
    OtherPlace,
    /// Choose another storage; this one does not keep what a store needs.
    OtherStorage,
    /// Move the store to a local disk, or state that one machine alone uses it.
    AllowFileSystem,
    /// Restore a backup, or open the store without the records that its journal lost.
    OpenWithoutTail,
    /// Rebuild `config.json`.
    RepairConfig,
    /// Move the heads that were lost.
    RepairHeads,
    /// Remove what a deletion left over.
    RemoveLeftovers,
    /// Verify the store.
    Verify,
    /// Rebuild the index.
    Reindex,
    /// Use a newer version of this library.
    UseNewer,
    /// Look which workflows there are.
    List,
    /// Look at a workflow.
    Show {
        /// The workflow.
        id: WorkflowId,
    },
    /// Load a workflow, which also writes its file again.
    Load {
        /// The workflow.
        id: WorkflowId,
    },
    /// Load the content before a deletion.
    LoadGeneration {
        /// The workflow.
        id: WorkflowId,
        /// The generation that has it.
        generation: u64,
    },
    /// Bring a deleted workflow back.
    Undelete {
        /// The workflow.
        id: WorkflowId,
    },
    /// Choose an id that is allowed.
    ChooseId,
    /// Find the id of the lease.
    FindLease,
    /// Correct the document.
    CorrectDocument,
    /// Wait for a lock, or end it.
    WaitForLock {
        /// The workflow.
        id: WorkflowId,
        /// The lease that holds it.
        lease: LeaseId,
    },
    /// Look at the workflow, then acquire its lock again.
    AcquireAgain {
        /// The workflow.
        id: WorkflowId,
    },
    /// Wait until the lease is renewed.
    AwaitRenewal,
    /// Look at the lock of a workflow, which also writes `workflow.lock` again.
    InspectLock {
        /// The workflow.
        id: WorkflowId,
    },
    /// Look at the current version, then change the workflow on top of it.
    ExpectGeneration {
        /// The workflow.
        id: WorkflowId,
        /// The current generation.
        generation: u64,
    },
    /// Save over the workflow that exists, or choose another id.
    SaveOver {
        /// The workflow.
        id: WorkflowId,
        /// The current generation.
        generation: u64,
    },
    /// Bring the workflow back, or save over its deletion.
    UndeleteOrSaveOver {
        /// The workflow.
        id: WorkflowId,
        /// The generation of the deletion.
        generation: u64,
    },
    /// Save a file that was edited, or move it away. No version has its content.
    KeepFile {
        /// The workflow.
        id: WorkflowId,
        /// The file, as a key of the store.
        key: String,
    },
    /// Save a file that was edited, or drop the edit.
    KeepOrDropEdit {
        /// The workflow.
        id: WorkflowId,
        /// The file, as a key of the store.
        key: String,
        /// The generation that the edit was made on.
        generation: u64,
    },
    /// Save a file that was edited.
    SaveEdit {
        /// The workflow.
        id: WorkflowId,
        /// The file, as a key of the store.
        key: String,
    },
    /// Save a file that was put into the store's folder.
    SaveStranger {
        /// The id to save it under.
        id: WorkflowId,
        /// The file, as a path below the store.
        key: String,
    },
    /// Correct a file that was edited, or move it away.
    CorrectFile {
        /// The file, as a key of the store.
        key: String,
    },
    /// Move an object away.
    MoveAway {
        /// The object.
        key: String,
    },
    /// Permit this user to read a file.
    PermitReading {
        /// The file, as a key of the store.
        key: String,
    },
    /// Settle by hand what both sides changed, or choose a side.
    SettleByHand,
    /// Choose a side.
    ChooseSide,
    /// Repeat the change.
    Repeat,
    /// Repeat the change; the index was busy, and no workflow was touched.
    RepeatForIndex,
    /// Repeat the change when another process has finished writing.
    RepeatAfterWriter,
    /// Repeat the change when the storage answers reliably.
    RepeatWhenReliable,
    /// Look whether the change was made before repeating it.
    LookBeforeRepeating,
    /// Free some space.
    FreeSpace,
    /// Check who owns the store and what this user may do.
    CheckRights,
    /// Open the store again and look at what is there.
    OpenAgain,
    /// What the storage says itself.
    Storage {
        /// One sentence.
        hint: String,
    },
    /// Run a command of the system, which the storage names.
    Run {
        /// The command line.
        command: String,
    },
}

impl Remedy {
    /// What helps against an error of a storage.
    pub(crate) fn of_storage(error: &pflow_backend::Error) -> Option<Self> {
        #[cfg(feature = "fs")]
        if has_cause::<LostTail>(error) {
            return Some(Self::OpenWithoutTail);
        }
        #[cfg(feature = "fs")]
        if has_cause::<SharedFileSystem>(error) {
            return Some(Self::AllowFileSystem);
        }
        if let Some(hint) = error.hint() {
            return Some(Self::Storage { hint: hint.to_owned() });
        }
        Some(match error.kind() {
            StorageErrorKind::Busy => Self::RepeatAfterWriter,
            StorageErrorKind::Exhausted => Self::FreeSpace,
            StorageErrorKind::Denied => Self::CheckRights,
            StorageErrorKind::Poisoned => Self::OpenAgain,
            _ => return None,
        })
    }
}

#[cfg(feature = "fs")]
fn has_cause<T: std::error::Error + 'static>(error: &dyn std::error::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<T>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Show { id } => write!(f, "see the current one of {id} with `Store::show`"),
            Self::Load { id } => write!(f, "load {id} with `Store::load`"),
            Self::LoadGeneration { id, generation } => {
                write!(
                    f,
                    "load the content before it, generation {generation} of {id}, with `Store::load_generation`"
                )
            }
            Self::Undelete { id } => write!(f, "bring {id} back with `Store::undelete`"),
            Self::WaitForLock { id, lease } => write!(
                f,
                "see `Store::inspect_lock` of {id}; wait with `lock_timeout`; its holder ends it with `Store::release` of {lease}; \
                 `Store::break_lock` takes it away"
            ),
            Self::AcquireAgain { id } => {
                write!(f, "look at what changed in {id} with `Store::show`, then acquire the lock again")
            }
            Self::InspectLock { id } => write!(f, "write it again with `Store::inspect_lock` of {id}"),
            Self::ExpectGeneration { id, generation } => write!(
                f,
                "look at {id} with `Store::show` and `Store::load`, then try again with `Expect::Generation({generation})`"
            ),
            Self::SaveOver { generation, .. } => {
                write!(f, "save over it with `Expect::Generation({generation})`, or choose another id")
            }
            Self::UndeleteOrSaveOver { id, generation } => write!(
                f,
                "bring {id} back with `Store::undelete`, or save over the deletion with `Expect::Generation({generation})`"
            ),
            Self::KeepFile { id, key } => {
                write!(f, "keep {key} by saving its content as {id}, or move the file away")
            }
            Self::KeepOrDropEdit { id, key, generation } => write!(
                f,
                "keep the edit by saving the content of {key} as {id}, or drop it by writing the content of `Store::load_generation` {generation} to the file"
            ),
            Self::SaveEdit { id, key } => write!(f, "save the content of {key} as {id}"),
            Self::SaveStranger { id, key } => write!(f, "save the content of {key} as {id}"),
            Self::CorrectFile { key } => write!(f, "mend {key}, or move it away"),
            Self::MoveAway { key } => write!(f, "move {key} away"),
            Self::PermitReading { key } => write!(f, "give this user the right to read {key}"),
            Self::Storage { hint } => f.write_str(hint),
            Self::Run { command } => write!(f, "run `{command}`"),
            other => f.write_str(other.fixed_text().unwrap_or_default()),
        }
    }
}

impl Remedy {
    /// Returns the text of a remedy that has no field.
    fn fixed_text(&self) -> Option<&'static str> {
        Some(match self {
            Self::CreateStore => "create it with `StoreBuilder::init`, or open another one",
            Self::OtherPlace => "choose another place; nothing was changed here",
            Self::OtherStorage => "keep the store elsewhere; `Store::doctor` shows everything that was tried",
            Self::AllowFileSystem => {
                "keep the store on a local disk; or, if this machine alone uses it, set `StoreBuilder::any_file_system`"
            }
            Self::OpenWithoutTail => {
                "restore the folder from a backup; or go on without what cannot be read: `StoreBuilder::open_without_tail`"
            }
            Self::RepairConfig => {
                "rebuild it from what can be read of it with `StoreBuilder::repair`; the workflows are not changed"
            }
            Self::RepairHeads => {
                "look with `Store::verify`, then move the head with `Store::plan_repair` and `Store::repair`"
            }
            Self::RemoveLeftovers => "remove it with `Store::plan_repair` and `Store::repair`",
            Self::Verify => "find all damage with `Store::verify`",
            Self::Reindex => "rebuild the index with `Store::reindex`",
            Self::UseNewer => "use a newer pflow-store; nothing was changed",
            Self::List => "see what there is with `Store::list`",
            Self::ChooseId => {
                "an id has 1 to 100 of a-z, 0-9, `-`, `_` and `.`, and starts with a letter or digit; \
                 `WorkflowId::resembling` suggests one"
            }
            Self::FindLease => "`Store::lock_state` has it",
            Self::CorrectDocument => "mend the document and save again; nothing was changed",
            Self::AwaitRenewal => "wait until it is renewed; nothing was changed",
            Self::SettleByHand => {
                "merge these places by hand into the current version, or choose a side with `Policy::Ours` or `Policy::Theirs`"
            }
            Self::ChooseSide => "choose a side with `Policy::Ours` or `Policy::Theirs`",
            Self::Repeat => "try again",
            Self::RepeatForIndex => "try again; the workflows themselves are safe",
            Self::RepeatAfterWriter => "another process is writing; try again",
            Self::RepeatWhenReliable => "try again when the storage answers reliably; nothing was changed",
            Self::LookBeforeRepeating => "look at what is there now before you repeat it",
            Self::FreeSpace => "make room and try again; nothing was changed",
            Self::CheckRights => "check who owns the store and what you may do there",
            Self::OpenAgain => "open the store again and look at its present state",
            _ => return None,
        })
    }
}

/// What an id is, in one sentence.
#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    /// Flags belong to the program, which words a remedy itself. Comments may mention them.
    #[test]
    fn library_names_no_flags() {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let flag = |line: &&str| {
                    let words =
                        line.split(|it: char| it.is_whitespace() || matches!(it, '`' | '"' | '(' | '\''));
                    let mut names = words.filter_map(|word| word.strip_prefix("--"));
                    names.any(|name| name.starts_with(|first: char| first.is_ascii_lowercase()))
                };
                found.extend(code.filter(flag).map(|line| format!("{}: {}", path.display(), line.trim())));
            }
        }
        assert!(found.is_empty(), "{found:#?}");
    }
}
