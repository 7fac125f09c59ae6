//! Writes a merged document.

use super::merged::{Built, Merged, What};
use super::style::{Style, end_of};
use super::{cursor::Cursor, text};
use crate::merge::three::{Pick, Side, Three};

/// Writes a document in one style. Values keep the sides' text if it has that style.
#[derive(Debug)]
struct Writer<'d> {
    style: Style<'d>,
    /// The sides whose text has that style.
    fitting: Vec<Side>,
    /// The length in bytes beyond which writing may stop.
    max: usize,
    out: String,
}

/// Returns the text of the merged document, or the side whose document it equals. A text longer than `max`
/// bytes is incomplete.
pub(super) fn write(
    merged: &Merged<'_>,
    texts: Three<Option<&str>>,
    leader: Side,
    max: usize,
) -> Result<String, Side> {
    let styles = texts.map(|text| text.map(Style::of));
    let pick = |pick| match pick {
        Pick::Only(side) => side,
        Pick::Same | Pick::Neither => leader,
    };
    let owner = pick(styles.pick(true, |a, b| a == b));
    if let Some(side) = [owner, owner.other()].into_iter().find(|side| *merged.spelled.side(*side)) {
        return Err(side);
    }
    let style = (*styles.side(owner)).unwrap_or_default();
    let fitting =
        [owner, owner.other()].into_iter().filter(|side| *styles.side(*side) == Some(style)).collect();
    let mut writer = Writer { style, fitting, max, out: String::new() };
    writer.value(merged, 0);
    let ends = texts.map(|text| text.map(end_of));
    writer.out.push_str((*ends.side(pick(ends.pick(true, |a, b| a == b)))).unwrap_or_default());
    Ok(writer.out)
}

impl Writer<'_> {
    fn value(&mut self, merged: &Merged<'_>, depth: usize) {
        if let Some(text) = self.fitting.iter().find_map(|side| merged.text_of(*side)) {
            return self.out.push_str(text);
        }
        match &merged.what {
            What::Taken(value) => {
                text::print(&mut Cursor::new(value.text()), self.style, depth, self.max, &mut self.out);
            }
            What::Built(built) => self.built(built, depth),
        }
    }

    fn built(&mut self, built: &Built<'_>, depth: usize) {
        self.out.push(if built.is_list { '[' } else { '{' });
        for (nth, part) in built.parts.iter().enumerate() {
            if self.out.len() > self.max {
                break;
            }
            self.style.begin_member(nth == 0, depth + 1, &mut self.out);
            if !built.is_list {
                self.style.key(built.written_key(part), &mut self.out);
            }
            self.value(&part.value, depth + 1);
        }
        self.style.end_members(built.parts.is_empty(), depth, &mut self.out);
        self.out.push(if built.is_list { ']' } else { '}' });
    }
}
