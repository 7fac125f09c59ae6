//! What a store of workflows does to a disk.

use pflow_backend::{Batch, Bytes, Key, Operation, Version};

use super::{
    disk::BadBlock,
    player::{ROOT, Step},
};
use crate::FsOptions;

/// A script and how the folder is opened for it.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) options: FsOptions,
    pub(crate) steps: Vec<Step>,
}

pub(crate) fn key(name: &str) -> Key {
    Key::parse(name).unwrap()
}

/// Some sectors of text, other ones for every workflow and generation.
pub(crate) fn content(id: &str, generation: u32) -> Bytes {
    text(&format!("content {id} {generation}"), 1_200)
}

/// So many bytes.
pub(crate) fn text(line: &str, length: usize) -> Bytes {
    let mut text = String::new();
    let mut number = 0;
    while text.len() < length {
        text += &format!("{line} {number}\n");
        number += 1;
    }
    text.truncate(length);
    text.into()
}

fn head(id: &str, generation: u32) -> Bytes {
    format!("head {id} {generation}").into()
}

fn follows(operation: Operation, before: Option<Bytes>) -> Operation {
    match before {
        Some(bytes) => operation.is(Version::of_content(&bytes)),
        None => operation.absent(),
    }
}

/// As a save does it: the version and a record that nobody finds yet, then the head, then the copy that
/// people see.
pub(crate) fn save(id: &str, generation: u32) -> Batch {
    save_over(id, generation, (generation > 1).then(|| content(id, generation - 1)))
}

/// The same where the copy holds this.
pub(crate) fn save_over(id: &str, generation: u32, copy: Option<Bytes>) -> Batch {
    let before = (generation > 1).then(|| head(id, generation - 1));
    let version = Operation::put(key(&format!("versions/{id}/{generation}")), content(id, generation));
    let record = Operation::put(key(&format!("ops/pending/{id}.{generation}")), "");
    let swap = Operation::put(key(&format!("workflows/{id}/metadata.json")), head(id, generation));
    let shown = Operation::put(key(&format!("workflows/{id}/workflow.json")), content(id, generation));
    Batch::new()
        .stage([version.absent().fresh(), record.absent().fresh()])
        .stage([follows(swap, before)])
        .stage([follows(shown, copy).copy()])
}

/// As a delete does it: a tombstone, and no copy.
pub(crate) fn delete(id: &str, generation: u32) -> Batch {
    let version = Operation::put(key(&format!("versions/{id}/{generation}")), "deleted");
    let swap = Operation::put(key(&format!("workflows/{id}/metadata.json")), head(id, generation));
    let shown = Operation::delete(key(&format!("workflows/{id}/workflow.json")));
    Batch::new()
        .stage([version.absent().fresh()])
        .stage([follows(swap, Some(head(id, generation - 1)))])
        .stage([follows(shown, Some(content(id, generation - 1)))])
}

/// One put of a swapped object.
pub(crate) fn put(name: &str, bytes: impl Into<Bytes>) -> Batch {
    Batch::new().stage([Operation::put(key(name), bytes)])
}

fn one(batch: Batch) -> Step {
    Step::Commit(vec![batch])
}

fn quiet() -> FsOptions {
    FsOptions::new().follow(false)
}

fn script(name: &'static str, options: FsOptions, steps: impl IntoIterator<Item = Step>) -> Script {
    Script { name, options, steps: steps.into_iter().collect() }
}

/// Saves of two workflows, a delete, and rest.
pub(crate) fn saves() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        one(save("a", 2)),
        Step::Look,
        one(save("b", 1)),
        one(delete("a", 3)),
        Step::Close,
    ];
    script("saves", quiet(), steps)
}

/// Several savers at once, two of whom want the same.
pub(crate) fn groups() -> Script {
    let steps = [
        Step::Open,
        Step::Commit(vec![save("a", 1), save("b", 1), save("a", 1)]),
        Step::Look,
        Step::Commit(vec![save("a", 2), save("c", 1), delete("b", 2)]),
        Step::Close,
    ];
    script("groups", quiet(), steps)
}

/// Objects that the journal does not hold itself, and a batch that it holds in part.
pub(crate) fn large() -> Script {
    let many =
        (0..6).map(|at| Operation::put(key(&format!("runs/{at}")), text(&format!("run {at}"), 200_000)));
    let steps = [
        Step::Open,
        one(put("large", text("large", 300_000))),
        one(Batch::new().stage([Operation::put(key("copy"), text("copy", 270_000)).copy()])),
        one(Batch::new().stage(many)),
        one(put("large", text("larger", 280_000))),
        Step::Close,
    ];
    script("large", quiet(), steps)
}

/// Several at once, of which the first has an object that the journal does not hold itself, and the last
/// builds on it.
pub(crate) fn group_with_large() -> Script {
    let large = text("large", 263_000);
    let after = Operation::put(key("after"), "large").is(Version::of_content(b"small"));
    let steps = [
        Step::Open,
        Step::Commit(vec![
            Batch::new().stage([Operation::put(key("large"), large), Operation::put(key("after"), "small")]),
            save("a", 1),
            Batch::new().stage([after]),
        ]),
        Step::Look,
        one(put("larger", text("larger", 270_000))),
        Step::Look,
    ];
    script("group with large", quiet(), steps)
}

/// A journal that is full after every other save.
pub(crate) fn full() -> Script {
    let mut steps = vec![Step::Open];
    steps.extend((1..=4).map(|generation| one(save("a", generation))));
    steps.extend([Step::Look, one(delete("a", 5)), one(save("b", 1)), Step::Close]);
    script("full", quiet().journal_limit(10_500), steps)
}

/// The same with more objects than are synced one by one.
pub(crate) fn full_of_many() -> Script {
    let many = |text: &'static str| {
        let puts = (0..40).map(|at| Operation::put(key(&format!("many/{}/{at}", at % 3)), text));
        Batch::new().stage(puts)
    };
    let steps =
        [Step::Open, one(many("one")), one(many("two")), one(put("after", "x")), Step::Look, Step::Close];
    script("full of many", quiet().journal_limit(8_000), steps)
}

/// Files that follow between the saves.
pub(crate) fn idle() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        one(save("a", 2)),
        one(delete("a", 3)),
        Step::Look,
        one(save("b", 1)),
        Step::Close,
    ];
    script("idle", FsOptions::new(), steps)
}

/// Somebody else opens what was left.
pub(crate) fn reopened() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        one(delete("a", 2)),
        Step::Open,
        Step::Look,
        one(save("b", 1)),
        Step::Open,
        Step::Close,
    ];
    script("reopened", FsOptions::new(), steps)
}

/// Syncs fail, and the journal is renewed.
pub(crate) fn renewed() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        Step::LoseSync,
        one(save("a", 2)),
        Step::Look,
        one(save("b", 1)),
        Step::LoseSync,
        one(save("c", 1)),
        one(save("d", 1)),
        Step::Close,
    ];
    script("renewed", quiet(), steps)
}

/// The same with an object that the journal does not hold itself.
pub(crate) fn renewed_with_large() -> Script {
    let steps = [
        Step::Open,
        one(put("large", text("large", 300_000))),
        Step::LoseSync,
        one(save("a", 1)),
        one(save("b", 1)),
        Step::Close,
    ];
    script("renewed with large", quiet(), steps)
}

/// The system loses what had followed, and tells whoever syncs everything.
pub(crate) fn lost_behind_their_backs() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        Step::FailInBackground,
        one(save("a", 2)),
        one(delete("a", 3)),
        Step::Close,
        Step::Close,
    ];
    script("lost behind their backs", FsOptions::new(), steps)
}

/// Saves over files that are at rest, and new ones beside them.
pub(crate) fn saved_over() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        one(save("b", 1)),
        Step::Close,
        one(save("a", 2)),
        one(delete("b", 2)),
        one(save("c", 1)),
        Step::Look,
        Step::Close,
        Step::Close,
    ];
    script("saved over", quiet(), steps)
}

/// The system loses what one handle wrote, and another handle, which is not told, ends the journal.
pub(crate) fn taken_over() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        one(save("b", 1)),
        Step::Close,
        one(save("a", 2)),
        one(delete("b", 2)),
        one(save("c", 1)),
        Step::FailInBackground,
        Step::Open,
        Step::Look,
        Step::Close,
        one(save("c", 2)),
        Step::Close,
    ];
    script("taken over", FsOptions::new(), steps)
}

/// The same where a person has edited copies, one in a folder that is new.
pub(crate) fn taken_over_with_edits() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        Step::Close,
        one(save("a", 2)),
        one(save("b", 1)),
        // The folder of `b` is there once this is committed.
        one(save("c", 1)),
        Step::Scrawl("workflows/a/workflow.json", "what a person thinks"),
        Step::Edit("workflows/b/workflow.json", "and another"),
        Step::FailInBackground,
        Step::Open,
        Step::Look,
        Step::Close,
    ];
    script("taken over with edits", FsOptions::new(), steps)
}

/// A block under a head that is at rest refuses writes.
pub(crate) fn bad_block_under_a_file() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        Step::Close,
        Step::BreakBlock(BadBlock::Under(format!("{ROOT}/workflows/a/metadata.json"))),
        one(save("a", 2)),
        Step::Look,
        Step::Close,
    ];
    script("bad block under a file", quiet(), steps)
}

/// No block takes what is to be written into one file.
pub(crate) fn bad_block_everywhere() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        Step::BreakBlock(BadBlock::Holding(b"head a 1".to_vec())),
        Step::Close,
        Step::Look,
        one(save("b", 1)),
        Step::Close,
        Step::Look,
        Step::Open,
        Step::Look,
        one(save("b", 2)),
        Step::Close,
        Step::Look,
        Step::MendBlocks,
    ];
    script("bad block everywhere", quiet(), steps)
}

/// A person edits a copy between two saves, and once more.
pub(crate) fn edited() -> Script {
    let copy = "workflows/a/workflow.json";
    let steps = [
        Step::Open,
        one(save("a", 1)),
        one(save("a", 2)),
        Step::Edit(copy, "what a person thinks"),
        Step::Look,
        one(save_over("a", 3, Some("what a person thinks".into()))),
        Step::Edit(copy, "better"),
        Step::Look,
        Step::Close,
    ];
    script("edited", FsOptions::new(), steps)
}

/// Files that cannot be written: a head, a copy, and for a while all of a workflow.
pub(crate) fn blocked() -> Script {
    let steps = [
        Step::Open,
        one(save("a", 1)),
        Step::Block("workflows/a/metadata.json"),
        one(save("a", 2)),
        one(save("b", 1)),
        Step::Close,
        Step::Look,
        Step::Block("workflows/a/workflow.json"),
        one(save("a", 3)),
        one(delete("b", 2)),
        Step::Close,
        Step::Open,
        Step::Look,
        one(save_over("b", 3, None)),
        Step::Close,
        Step::Unblock,
        one(save("a", 4)),
        Step::Close,
    ];
    script("blocked", quiet(), steps)
}

/// The same with a journal that is full from time to time.
pub(crate) fn blocked_and_full() -> Script {
    let mut steps = vec![Step::Open, one(save("a", 1)), Step::Block("workflows/a/metadata.json")];
    steps.extend((2..=4).map(|generation| one(save("a", generation))));
    steps.extend([Step::Look, one(save("b", 1)), one(save("b", 2)), Step::Unblock, Step::Close]);
    script("blocked and full", quiet().journal_limit(10_500), steps)
}

/// Objects that are written once, by several at once and again: in one group, while the journal has them, when
/// they are in their files, and after other bytes were refused.
pub(crate) fn written_once() -> Script {
    let chunk = |name: &str| Operation::put(key(&format!("chunks/{name}")), text(name, 700)).immutable();
    let large = || Operation::put(key("chunks/large"), text("large", 300_000)).immutable();
    let with_head = |generation: u32, chunks: Vec<Operation>| {
        let swap = Operation::put(key("head"), head("a", generation));
        let before = (generation > 1).then(|| head("a", generation - 1));
        Batch::new().stage(chunks).stage([follows(swap, before)])
    };
    let other = Operation::put(key("chunks/one"), "other bytes").immutable();
    let steps = [
        Step::Open,
        Step::Commit(vec![
            with_head(1, vec![chunk("one"), chunk("two")]),
            Batch::new().stage([chunk("two"), chunk("three")]),
            Batch::new().stage([chunk("one")]),
        ]),
        Step::Look,
        one(with_head(2, vec![chunk("one"), chunk("four"), large()])),
        one(Batch::new().stage([chunk("five"), other])),
        Step::Close,
        one(Batch::new().stage([chunk("one"), large()])),
        one(with_head(3, vec![chunk("four"), chunk("six")])),
        Step::Look,
        Step::Close,
    ];
    script("written once", quiet(), steps)
}

/// Names that are an object, a folder and an object again.
pub(crate) fn renamed() -> Script {
    let gone = |name: &str| Operation::delete(key(name));
    let here = |name: &str, bytes: &'static str| Operation::put(key(name), bytes);
    let steps = [
        Step::Open,
        one(put("a", "object")),
        one(Batch::new().stage([gone("a")])),
        one(put("a/b/c", "deep")),
        Step::Look,
        one(Batch::new().stage([gone("a/b/c")]).stage([here("x", "1")])),
        one(put("a/b", "less deep")),
        Step::Close,
        one(Batch::new().stage([gone("a/b")])),
        one(put("a", "again")),
        Step::Close,
    ];
    script("renamed", FsOptions::new(), steps)
}

/// What whoever comes after a crash does.
pub(crate) fn recovery(options: &FsOptions) -> Script {
    let steps = [Step::Open, Step::Look, one(put("zz/after", "the crash")), Step::Close];
    Script { name: "recovery", options: options.clone(), steps: steps.into() }
}
