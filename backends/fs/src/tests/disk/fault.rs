//! Write-backs that fail, and what they lose.

use std::collections::BTreeSet;

use super::{
    Disk, State,
    image::{Effect, Ino},
    mix,
};

/// A part of the medium that refuses every write.
#[derive(Debug, Clone)]
pub(crate) enum BadBlock {
    /// Under the file at this path as it is now. A new file gets other blocks.
    Under(String),
    /// Under every file that holds these bytes, wherever it is, except the journal: whichever block the
    /// system chooses, it is a bad one.
    Holding(Vec<u8>),
}

const JOURNAL: &str = ".journal/journal";

impl Disk {
    /// The system tries to write back some files and folders and fails, before any process syncs them.
    /// `which` chooses them by their paths.
    pub(crate) fn fail_in_background(&self, which: impl Fn(&str) -> bool) {
        let mut state = self.state();
        let paths = state.live.paths();
        for (_, ino) in paths.into_iter().filter(|(path, _)| which(path)) {
            state.lose(ino);
        }
    }

    /// From now on a part of the medium refuses writes.
    pub(crate) fn break_block(&self, block: BadBlock) {
        self.state().bad_blocks.push(block);
    }

    /// The bad blocks are replaced by good ones. What they lost stays lost.
    pub(crate) fn mend_blocks(&self) {
        self.state().bad_blocks.clear();
    }
}

impl State {
    /// What was to be written of a file or folder is gone, and can still be seen.
    pub(super) fn lose(&mut self, ino: Ino) {
        let mut is_any = false;
        self.pending.retain_mut(|(_, effect)| match effect {
            Effect::Names(changes) => {
                let before = changes.len();
                changes.retain(|(folder, ..)| *folder != ino);
                is_any |= changes.len() != before;
                !changes.is_empty()
            }
            _ => {
                let is_lost = effect.is_content_of(ino);
                is_any |= is_lost;
                !is_lost
            }
        });
        if is_any {
            if self.live.bytes(ino).is_some() {
                self.lost.insert(ino);
            }
            // Whoever compares crash states by their effects must tell this one from one without the loss.
            self.durable_sum ^= mix((1 << 40) + self.effects);
            self.changes += 1;
            *self.failures.entry(ino).or_default() += 1;
            self.failures_of_all += 1;
        }
    }

    pub(super) fn lose_everything(&mut self) {
        let mut all = BTreeSet::new();
        for (_, effect) in &self.pending {
            match effect {
                Effect::Bytes { file, .. } | Effect::Length { file, .. } => drop(all.insert(*file)),
                Effect::Names(changes) => all.extend(changes.iter().map(|(folder, ..)| *folder)),
            }
        }
        all.into_iter().for_each(|ino| self.lose(ino));
    }

    /// Loses what is to be written to a bad block, of one file or of all; whether there was any.
    pub(super) fn lose_what_is_bad(&mut self, of: Option<Ino>) -> bool {
        if self.bad_blocks.is_empty() {
            return false;
        }
        let journal = self.live.paths().into_iter().find(|(path, _)| path.ends_with(JOURNAL)).map(|it| it.1);
        let is_bad = |effect: &Effect| {
            let Effect::Bytes { file, bytes, .. } = effect else { return None };
            let under = |block: &BadBlock| match block {
                BadBlock::Under(path) => self.live.find(path.as_ref()) == Some(*file),
                BadBlock::Holding(text) => {
                    journal != Some(*file) && bytes.windows(text.len()).any(|it| it == text)
                }
            };
            (of.is_none_or(|of| of == *file) && self.bad_blocks.iter().any(under)).then_some(*file)
        };
        let bad: BTreeSet<Ino> = self.pending.iter().filter_map(|(_, effect)| is_bad(effect)).collect();
        bad.iter().for_each(|file| self.lose(*file));
        !bad.is_empty()
    }
}
