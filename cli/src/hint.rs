//! Words each remedy of the library as commands and flags of this program. No other file does.

use pflow_store::{Error, LeaseId, Remedy, document::DocumentError};

/// The rule for ids, for all messages.
pub(crate) const ID_RULE: &str =
    "an id has 1 to 100 of a-z, 0-9, `-`, `_` and `.`, and starts with a letter or digit";

/// Returns the hint for an error.
pub(crate) fn of_error(error: &Error) -> Option<String> {
    match error {
        Error::Document { source: DocumentError::Invalid { .. }, .. } => {
            let advice = "mend the document and save again";
            Some(format!("{advice}, or keep it as it is with `save --format opaque`; nothing was changed"))
        }
        _ => error.remedy().map(|remedy| sentence(&remedy)),
    }
}

/// Parses the lease id that a person gave. The error says what is wrong with it and which command prints it.
pub(crate) fn lease_id(text: &str) -> Result<LeaseId, String> {
    LeaseId::parse(text).map_err(|error| format!("{error}; {}", sentence(&Remedy::FindLease)))
}

/// Words a remedy as one imperative sentence, to be printed after `hint:`.
pub(crate) fn sentence(remedy: &Remedy) -> String {
    match remedy {
        Remedy::CreateStore => "create it with `init`, or name another one with `--store`".to_owned(),
        Remedy::OtherPlace => {
            "choose another place with `--store`, for example `--store ./.pflow-store`; nothing was changed here"
                .to_owned()
        }
        Remedy::OtherStorage => "keep the store elsewhere; `doctor` shows everything that was tried".to_owned(),
        Remedy::AllowFileSystem => {
            "keep the store on a local disk; or, if this machine alone uses it, repeat the command with `--any-file-system`"
                .to_owned()
        }
        Remedy::OpenWithoutTail => {
            "restore the folder from a backup; or go on without what cannot be read: `verify --repair --accept-tail`"
                .to_owned()
        }
        Remedy::RepairConfig => {
            "rebuild it from what can be read of it with `init --repair`; the workflows are not changed".to_owned()
        }
        Remedy::RepairHeads => "look with `verify`, then move the head with `verify --repair`".to_owned(),
        Remedy::Verify => "find all damage with `verify`".to_owned(),
        Remedy::List => "see what there is with `list`".to_owned(),
        Remedy::ChooseId => ID_RULE.to_owned(),
        Remedy::Show { id } => format!("see the current one with `show {id}`"),
        Remedy::LoadGeneration { id, generation } => {
            format!("the content before it: `load {id} --generation {generation}`")
        }
        Remedy::Undelete { id } => format!("bring it back with `undelete {id}`"),
        Remedy::FindLease => "`lock show` prints it".to_owned(),
        Remedy::WaitForLock { id, lease } => format!(
            "see `lock show {id}`; wait with `--lock-timeout`; its holder ends it with `lock release {id} {lease}`; \
             `lock break {id} {lease}` takes it away"
        ),
        Remedy::AcquireAgain { id } => {
            format!("look at what changed with `show {id}`, then acquire the lock again")
        }
        Remedy::ExpectGeneration { id, generation } => format!(
            "look at it with `show {id}` and `load {id}`, then try again with `--if-generation {generation}`"
        ),
        Remedy::SaveOver { generation, .. } => {
            format!("save over it with `--if-generation {generation}`, or choose another id")
        }
        Remedy::UndeleteOrSaveOver { id, generation } => format!(
            "bring it back with `undelete {id}`, or save over the deletion with `--if-generation {generation}`"
        ),
        Remedy::KeepFile { id, key } => {
            format!("keep it by saving that file itself (`save {id} <store>/{key}`), or move it away")
        }
        Remedy::KeepOrDropEdit { id, key, generation } => format!(
            "keep the edit by saving that file itself (`save {id} <store>/{key}`), or drop it with `load {id} \
             --generation {generation} -o <store>/{key}`"
        ),
        Remedy::CorrectFile { key } => format!("mend <store>/{key}, or move it away"),
        Remedy::SettleByHand => {
            "merge these places by hand into the current version, or choose a side with `--on-conflict ours` or `theirs`".to_owned()
        }
        Remedy::ChooseSide => "choose a side with `--on-conflict ours` or `theirs`".to_owned(),
        Remedy::Reindex
        | Remedy::RemoveLeftovers
        | Remedy::Load { .. }
        | Remedy::SaveEdit { .. }
        | Remedy::SaveStranger { .. }
        | Remedy::InspectLock { .. }
        | Remedy::PermitReading { .. } => format!("run `{}`", command(remedy)),
        // Remedies whose own text names no call of the library, and those that a later library adds.
        other => other.to_string(),
    }
}

/// Returns the command that repairs a finding, without the name of the program, or a sentence if there is no
/// such command.
pub(crate) fn command(remedy: &Remedy) -> String {
    match remedy {
        Remedy::RepairHeads | Remedy::RemoveLeftovers => "verify --repair".to_owned(),
        Remedy::Reindex => "reindex".to_owned(),
        Remedy::Load { id } => format!("load {id}"),
        Remedy::SaveEdit { id, key } => format!("save {id} <store>/{key}"),
        Remedy::SaveStranger { id, key } => format!("save {id} '<store>/{key}'"),
        Remedy::InspectLock { id } => format!("lock show {id}"),
        Remedy::PermitReading { key } => format!("chmod u+r <store>/{key}"),
        Remedy::MoveAway { .. } => "move it away".to_owned(),
        Remedy::Run { command } => command.clone(),
        other => sentence(other),
    }
}
