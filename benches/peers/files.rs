//! The paths of the peers that use plain files: four folders, so that a new workflow needs no folder of its
//! own.

use crate::work::Save;

pub(super) const INDEX: &str = "index";
pub(super) const FOLDERS: [&str; 4] = ["versions", "contents", "heads", INDEX];

pub(super) fn version(save: &Save) -> String {
    format!("versions/{}-{:012}", save.id, save.generation)
}

pub(super) fn content(id: &str) -> String {
    format!("contents/{id}.json")
}

pub(super) fn head(id: &str) -> String {
    format!("heads/{id}.json")
}

pub(super) fn record(id: &str) -> String {
    format!("{INDEX}/{id}.json")
}
