//! The names of all keys. No other file spells out a key.

use pflow_backend::{Key, Prefix};

use super::{Head, MAX_GENERATION, VersionId, WorkflowId};
use crate::document::{ContentHash, MediaType};

pub(crate) const CONFIG: &str = "config.json";
const HEAD: &str = "metadata.json";
const LOCKFILE: &str = "workflow.lock";
const INSTANCES: &str = "ops/instances";

pub(crate) fn config() -> Key {
    key(CONFIG)
}

/// Lists the files that git must ignore: those that belong to one machine, such as lease mirrors. Never the
/// journal, which may hold the only copy of saved data.
pub(crate) fn gitignore() -> Key {
    key(".gitignore")
}

/// Tells git not to change the bytes of a store.
pub(crate) fn gitattributes() -> Key {
    key(".gitattributes")
}

/// Keeps a config that could not be read and was rebuilt; named by the hash of its content.
pub(crate) fn odd_config(content: ContentHash) -> Key {
    key(&format!("{CONFIG}.{}.odd", content.hex()))
}

pub(crate) fn index_export() -> Key {
    key("index.json")
}

pub(crate) fn index_backup() -> Key {
    key("index.bak")
}

pub(crate) fn index_root() -> Key {
    key("ops/checkpoint")
}

pub(crate) fn index_base(id: &str) -> Key {
    key(&format!("ops/base/{id}"))
}

pub(crate) fn index_segment(id: &str) -> Key {
    key(&format!("ops/segments/{id}"))
}

pub(crate) fn index_segments() -> Prefix {
    prefix("ops/segments")
}

/// Names the writer that currently folds.
pub(crate) fn fold_claim() -> Key {
    key("ops/fold")
}

/// Has the id of the store at one endpoint. The key is a hash, because the name of an endpoint is no key.
pub(crate) fn instance(endpoint: &str) -> Key {
    key(&format!("{INSTANCES}/{}", ContentHash::of(endpoint.as_bytes()).hex()))
}

pub(crate) fn instances() -> Prefix {
    prefix(INSTANCES)
}

/// The prefix for probes of the storage. Objects left by a killed probe are harmless and unused.
pub(crate) fn probes() -> Prefix {
    prefix("ops/probe")
}

pub(crate) fn probe_ground(id: &str) -> Prefix {
    prefix(&format!("ops/probe/{id}"))
}

pub(crate) fn pending_records() -> Prefix {
    prefix("ops/pending")
}

pub(crate) fn workflows() -> Prefix {
    prefix("workflows")
}

pub(crate) fn head(id: &WorkflowId) -> Key {
    key(&format!("workflows/{id}/{HEAD}"))
}

/// The working copy of a content of this media type. `workflow.json` is the seed's name.
pub(crate) fn copy(id: &WorkflowId, media_type: MediaType) -> Key {
    key(&format!("workflows/{id}/{}", media_type.file_name()))
}

/// The working copy that belongs to a head: that of the current content, or of the content that was deleted.
/// Without a version it is `workflow.json`, so that a file that was put there before the first save is found.
///
/// The name of the copy of a media type that only a newer program knows is unknown: callers do not write it.
pub(crate) fn copy_of(head: &Head) -> Key {
    let current = head.current.as_ref().and_then(|current| current.record.media_type.known().ok());
    copy(&head.id, current.unwrap_or(MediaType::Json))
}

/// The names that a working copy of the workflow may have.
pub(crate) fn copies(id: &WorkflowId) -> Vec<Key> {
    let mut keys: Vec<Key> = MediaType::ALL.iter().map(|media_type| copy(id, *media_type)).collect();
    keys.dedup();
    keys
}

/// The folder of a workflow, as it is named, if this is the name of a working copy in it.
pub(crate) fn folder_of_copy(name: &str) -> Option<&str> {
    let (folder, file) = name.strip_prefix("workflows/")?.split_once('/')?;
    MediaType::of_file_name(file).map(|_| folder)
}

/// The media type of a working copy: that of the current content if the key is the copy of the head, else the
/// first one with this file name.
pub(crate) fn media_type_of_copy(head: &Head, copy: &Key) -> Option<MediaType> {
    let current = head.current.as_ref().and_then(|current| current.record.media_type.known().ok());
    current.filter(|_| *copy == copy_of(head)).or_else(|| {
        let (_, file) = copy.as_str().rsplit_once('/')?;
        MediaType::of_file_name(file)
    })
}

pub(crate) fn lockfile(id: &WorkflowId) -> Key {
    key(&format!("workflows/{id}/{LOCKFILE}"))
}

/// Keeps a foreign object with this content that was found in place of the mirror.
pub(crate) fn odd_lockfile(id: &WorkflowId, content: ContentHash) -> Key {
    key(&format!("workflows/{id}/{LOCKFILE}.{}.odd", content.hex()))
}

pub(crate) fn versions() -> Prefix {
    prefix("versions")
}

pub(crate) fn versions_of(id: &WorkflowId) -> Prefix {
    prefix(&format!("versions/{id}"))
}

pub(crate) fn version(id: &WorkflowId, generation: u64, version_id: &VersionId) -> Key {
    key(&format!("versions/{id}/{generation:012}-{version_id}"))
}

/// The record of a commit that swaps in a head with the nonce `attempt`, whose current version is of this
/// generation and id. `versions` is the number of versions that the commit writes.
pub(crate) fn pending(
    id: &WorkflowId,
    (generation, version_id): (u64, &VersionId),
    attempt: &VersionId,
    versions: u8,
) -> Key {
    key(&format!("ops/pending/{id}.{generation:012}.{version_id}.{attempt}.{versions}"))
}

/// The record of an operation that made no version.
pub(crate) fn pending_operation(id: &WorkflowId, operation_id: &VersionId) -> Key {
    key(&format!("ops/pending/{id}.{operation_id}.op"))
}

/// The parsed name of a pending record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PendingName {
    /// `<id>.<generation>.<version_id>.<attempt>.<versions>`: this workflow may have reached this generation
    /// with this version, the highest of so many that one commit wrote. The attempt is the nonce of the head
    /// that it swaps in, so two commits have two records even if both wrote the same derived version. The
    /// record is empty.
    Change { id: WorkflowId, generation: u64, version_id: VersionId, attempt: VersionId, versions: u8 },
    /// `<id>.<operation_id>.op`, or `_store.<operation_id>.op`: an operation that made no version; the
    /// content of the record names it. No id starts with `_`, and no version id is `op`, so the two kinds of
    /// names cannot be confused.
    Operation { id: Option<WorkflowId>, operation_id: VersionId },
}

/// Parses the name of a pending record; none if the key is not one.
pub(crate) fn parse_pending(key: &Key) -> Option<PendingName> {
    let name = key.as_str().strip_prefix("ops/pending/")?;
    // An id may contain dots itself, so the parts are split from the end.
    let (rest, last) = name.rsplit_once('.')?;
    let (subject, middle) = rest.rsplit_once('.')?;
    if last == "op" {
        let id = if subject == "_store" { None } else { Some(WorkflowId::parse(subject).ok()?) };
        return Some(PendingName::Operation { id, operation_id: VersionId::parse(middle).ok()? });
    }
    let versions = last.bytes().next().filter(|digit| last.len() == 1 && digit.is_ascii_digit())? - b'0';
    let attempt = VersionId::parse(middle).ok()?;
    let (subject, version_id) = subject.rsplit_once('.')?;
    let (subject, generation) = subject.rsplit_once('.')?;
    let (id, generation) = (WorkflowId::parse(subject).ok()?, parse_generation(generation)?);
    Some(PendingName::Change {
        id,
        generation,
        version_id: VersionId::parse(version_id).ok()?,
        attempt,
        versions,
    })
}

/// Parses the generation and the version id in the name of a version object.
pub(crate) fn parse_version(id: &WorkflowId, key: &Key) -> Option<(u64, VersionId)> {
    let name = key.as_str().strip_prefix(&format!("versions/{id}/"))?;
    let (generation, version_id) = name.split_once('-')?;
    Some((parse_generation(generation)?, VersionId::parse(version_id).ok()?))
}

/// The workflow that a version object belongs to; none for any other key.
pub(crate) fn workflow_of_version(key: &Key) -> Option<WorkflowId> {
    let (id, _) = key.as_str().strip_prefix("versions/")?.split_once('/')?;
    WorkflowId::parse(id).ok()
}

/// Whether a store uses an object of this name. Files in the disk backend's own folder are not covered.
pub(crate) fn is_ours(name: &str) -> bool {
    let single =
        [config(), gitignore(), gitattributes(), index_export(), index_backup(), index_root(), fold_claim()];
    if single.iter().any(|key| key.as_str() == name) {
        return true;
    }
    let Ok(key) = Key::parse(name) else { return false };
    let (top, rest) = name.split_once('/').unwrap_or(("", name));
    match top {
        "" => odd(rest, CONFIG),
        "ops" => {
            let part = rest.strip_prefix("base/").or_else(|| rest.strip_prefix("segments/"));
            let instance = rest.strip_prefix("instances/");
            probes().contains(&key)
                || instance.is_some_and(|digits| ContentHash::parse(&format!("sha256:{digits}")).is_ok())
                || parse_pending(&key).is_some()
                || part.is_some_and(|part| VersionId::parse(part).is_ok())
        }
        "workflows" => rest.split_once('/').is_some_and(|(id, file)| {
            WorkflowId::parse(id).is_ok()
                && (matches!(file, HEAD | LOCKFILE)
                    || MediaType::of_file_name(file).is_some()
                    || odd(file, LOCKFILE))
        }),
        "versions" => workflow_of_version(&key).is_some_and(|id| parse_version(&id, &key).is_some()),
        _ => false,
    }
}

/// Whether `name` is that of an object kept in place of `file`, named by its content.
fn odd(name: &str, file: &str) -> bool {
    let digits = name.strip_prefix(file).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".odd"));
    digits.is_some_and(|digits| ContentHash::parse(&format!("sha256:{digits}")).is_ok())
}

/// The workflow whose head this is; none for any other key.
pub(crate) fn parse_head(key: &Key) -> Option<WorkflowId> {
    parse_workflow_file(key, HEAD)
}

/// The workflow whose lockfile this is; none for any other key.
pub(crate) fn parse_lockfile(key: &Key) -> Option<WorkflowId> {
    parse_workflow_file(key, LOCKFILE)
}

fn parse_workflow_file(key: &Key, file: &str) -> Option<WorkflowId> {
    let name = key.as_str().strip_prefix("workflows/")?.strip_suffix(file)?.strip_suffix('/')?;
    WorkflowId::parse(name).ok()
}

fn parse_generation(digits: &str) -> Option<u64> {
    let plain = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain {
        digits.parse().ok().filter(|generation| (1..=MAX_GENERATION).contains(generation))
    } else {
        None
    }
}

/// Invariant: every name in this file is a valid key. Workflow ids have at most 100 bytes, generations 12
/// digits, and version ids and the ids of index parts 26 letters and digits. All are of the portable set and
/// checked where they are read; the test below uses the longest names.
#[allow(clippy::expect_used, reason = "the invariant above")]
fn key(name: &str) -> Key {
    Key::parse(name).expect("names of the layout are keys")
}

#[allow(clippy::expect_used, reason = "the invariant above")]
fn prefix(name: &str) -> Prefix {
    Prefix::parse(name).expect("names of the layout are prefixes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_names_are_valid_keys_and_parse_back() {
        let id = WorkflowId::parse(format!("a.b.{}", "x".repeat(96))).unwrap();
        let version_id = VersionId::parse("0".repeat(26)).unwrap();
        let (attempt, generation) = (VersionId::parse("1".repeat(26)).unwrap(), MAX_GENERATION);
        let record = pending(&id, (generation, &version_id), &attempt, 9);
        let change = PendingName::Change { id: id.clone(), generation, version_id, attempt, versions: 9 };
        assert_eq!(parse_pending(&record), Some(change));
        let object = version(&id, 7, &version_id);
        assert_eq!(parse_version(&id, &object), Some((7, version_id)));
        assert_eq!(parse_head(&head(&id)), Some(id.clone()));
        assert_eq!(parse_lockfile(&lockfile(&id)), Some(id.clone()));
        assert_eq!(parse_head(&lockfile(&id)), None);
        assert_eq!(parse_lockfile(&odd_lockfile(&id, ContentHash::of(b"odd"))), None);
        assert_eq!(parse_head(&copy(&id, MediaType::Json)), None);
        let instance = instance(&format!("s3://{} at https://storage.example:9000", "x".repeat(2_000)));
        assert!(instances().contains(&instance) && is_ours(instance.as_str()));
        assert!(!is_ours("ops/instances/x"));
    }

    #[test]
    fn operation_records_are_not_parsed_as_changes() {
        let (id, operation_id) =
            (WorkflowId::parse("a.000000000001").unwrap(), VersionId::parse("1".repeat(26)).unwrap());
        let of_workflow = pending_operation(&id, &operation_id);
        let expected = PendingName::Operation { id: Some(id), operation_id };
        assert_eq!(parse_pending(&of_workflow), Some(expected));
        let of_store = key(&format!("ops/pending/_store.{operation_id}.op"));
        assert_eq!(parse_pending(&of_store), Some(PendingName::Operation { id: None, operation_id }));
    }

    #[test]
    fn foreign_names_are_not_pending_records() {
        let id = "0".repeat(26);
        for name in [
            "x",
            &format!("a.1.{id}.{id}.1"),
            &format!("A.000000000001.{id}.{id}.1"),
            &format!("a.00000000000x.{id}.{id}.1"),
            &format!("a.000000000000.{id}.{id}.1"),
            &format!("a.000000000001.v.{id}.1"),
            &format!("a.000000000001.{id}.v.1"),
            &format!("a.000000000001.{id}.{id}.x"),
            &format!("a.000000000001.{id}.{id}.10"),
            &format!("a.000000000001.{id}.{id}."),
            &format!("a.000000000001.{id}"),
            "a.000000000001",
            "_x.00000000000000000000000000.op",
            "a.x.op",
        ] {
            assert_eq!(parse_pending(&key(&format!("ops/pending/{name}"))), None, "{name}");
        }
    }
}
