//! Merges and compares texts line by line.

use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use crate::merge::three::Three;

/// The maximum number of lines between the first and the last difference of two texts that are compared
/// line by line. The comparison takes up to its square in steps. Longer texts are compared as a whole.
const MAX_LINES: usize = 4_000;

/// Lines of one text that replace lines of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hunk {
    pub(super) old: Range<usize>,
    pub(super) new: Range<usize>,
}

/// Places that both sides changed differently, each as ranges of lines in the three versions.
pub(super) type Overlapping = Vec<Three<Range<usize>>>;

/// Splits a text into lines, each with its end.
pub(super) fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// How many pairs of lines may still be compared in one merge, or in one list of differences.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Default for Budget {
    /// The largest text with its largest difference takes a sixth of it.
    fn default() -> Self {
        Self(100_000_000)
    }
}

impl Budget {
    /// Whether texts of so many lines may be compared.
    fn allows(&mut self, old: usize, new: usize) -> bool {
        let cost = (old as u64).saturating_mul(new as u64);
        let left = self.0.checked_sub(cost).filter(|_| old.max(new) <= MAX_LINES);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

/// The changes from `old` to `new`, in order and not touching each other; none if the texts are too long.
///
/// A change among equal lines may be described in several ways. It is moved to the first line where it may
/// be, so that the same change of two sides is described in the same way.
pub(super) fn hunks(old: &[&str], new: &[&str], budget: &mut Budget) -> Option<Vec<Hunk>> {
    let before = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let rest = |lines: &[&str]| lines.len() - before;
    let pairs = old.iter().rev().zip(new.iter().rev());
    let after = pairs.take(rest(old).min(rest(new))).take_while(|(old, new)| old == new).count();
    let [inner_old, inner_new] =
        [old, new].map(|lines| lines.get(before..lines.len() - after).unwrap_or_default());
    if !budget.allows(inner_old.len(), inner_new.len()) {
        return None;
    }
    let moved = |range: Range<usize>| range.start + before..range.end + before;
    let mut hunks: Vec<Hunk> = Vec::new();
    for op in capture_diff_slices(Algorithm::Myers, inner_old, inner_new) {
        if !matches!(op, DiffOp::Equal { .. }) {
            push(&mut hunks, Hunk { old: moved(op.old_range()), new: moved(op.new_range()) });
        }
    }
    let mut canonical = Vec::with_capacity(hunks.len());
    for hunk in hunks {
        let hunk = raised(hunk, canonical.last(), old, new);
        push(&mut canonical, hunk);
    }
    Some(canonical)
}

/// Adds a hunk, as a part of the last one if the two touch.
fn push(hunks: &mut Vec<Hunk>, hunk: Hunk) {
    match hunks.last_mut() {
        Some(last) if last.old.end == hunk.old.start && last.new.end == hunk.new.start => {
            (last.old.end, last.new.end) = (hunk.old.end, hunk.new.end);
        }
        _ => hunks.push(hunk),
    }
}

/// Moves an insertion or a deletion up over equal lines, down to the end of the hunk before it.
fn raised(mut hunk: Hunk, last: Option<&Hunk>, old: &[&str], new: &[&str]) -> Hunk {
    let (lines, is_insertion) = match (hunk.old.is_empty(), hunk.new.is_empty()) {
        (true, false) => (new, true),
        (false, true) => (old, false),
        _ => return hunk,
    };
    let floor = last.map_or((0, 0), |last| (last.old.end, last.new.end));
    loop {
        let range = if is_insertion { &hunk.new } else { &hunk.old };
        let above = range.start.checked_sub(1).and_then(|at| lines.get(at));
        let end = range.end.checked_sub(1).and_then(|at| lines.get(at));
        let is_free = hunk.old.start > floor.0 && hunk.new.start > floor.1;
        if !is_free || above.is_none() || above != end {
            return hunk;
        }
        hunk = Hunk { old: hunk.old.start - 1..hunk.old.end - 1, new: hunk.new.start - 1..hunk.new.end - 1 };
    }
}

/// Merges the changes of two sides. A change of one side that touches a change of the other is an overlap,
/// unless both make the same text.
///
/// # Errors
/// The places that overlap; none of them if the texts are too long to be compared by line.
pub(super) fn merge(texts: Three<&str>, budget: &mut Budget) -> Result<String, Overlapping> {
    let merged = merge_once(texts, budget)?;
    // Among equal lines an edit may have been taken for another one. Then a side is not contained in the result.
    for side in [texts.ours, texts.theirs] {
        let again = Three { base: texts.base, ours: side, theirs: &merged };
        if merge_once(again, budget).ok().as_ref() != Some(&merged) {
            return Err(Vec::new());
        }
    }
    Ok(merged)
}

fn merge_once(texts: Three<&str>, budget: &mut Budget) -> Result<String, Overlapping> {
    let Three { base, ours, theirs } = texts.map(lines);
    let (Some(our), Some(their)) = (hunks(&base, &ours, budget), hunks(&base, &theirs, budget)) else {
        return Err(Vec::new());
    };
    let (mut our, mut their) = (our.into_iter().peekable(), their.into_iter().peekable());
    let (mut merged, mut overlapping) = (String::new(), Vec::new());
    // How far each text is merged.
    let mut done = Three { base: 0, ours: 0, theirs: 0 };
    loop {
        let starts = [our.peek(), their.peek()].map(|hunk| hunk.map(|hunk| hunk.old.start));
        let Some(start) = starts.into_iter().flatten().min() else { break };
        let same = start - done.base;
        merged.extend(base.get(done.base..start).unwrap_or_default().iter().copied());
        let from = done.map(|at| at + same);
        // All changes that touch each other, from both sides.
        let (mut end, mut sides) = (start, [false; 2]);
        let mut grown = Three { base: 0, ours: 0_usize, theirs: 0_usize };
        loop {
            if let Some(hunk) = our.next_if(|hunk| hunk.old.start <= end) {
                end = end.max(hunk.old.end);
                grown.ours = grown.ours.wrapping_add(hunk.new.len()).wrapping_sub(hunk.old.len());
                sides[0] = true;
            } else if let Some(hunk) = their.next_if(|hunk| hunk.old.start <= end) {
                end = end.max(hunk.old.end);
                grown.theirs = grown.theirs.wrapping_add(hunk.new.len()).wrapping_sub(hunk.old.len());
                sides[1] = true;
            } else {
                break;
            }
        }
        let to = Three {
            base: end,
            ours: (from.ours + (end - start)).wrapping_add(grown.ours),
            theirs: (from.theirs + (end - start)).wrapping_add(grown.theirs),
        };
        let [of_ours, of_theirs] = [(&ours, from.ours..to.ours), (&theirs, from.theirs..to.theirs)]
            .map(|(lines, range)| lines.get(range).unwrap_or_default());
        match sides {
            [true, false] => merged.extend(of_ours.iter().copied()),
            [false, true] => merged.extend(of_theirs.iter().copied()),
            _ if of_ours == of_theirs => merged.extend(of_ours.iter().copied()),
            _ => overlapping.push(Three {
                base: start..end,
                ours: from.ours..to.ours,
                theirs: from.theirs..to.theirs,
            }),
        }
        done = to;
    }
    merged.extend(base.get(done.base..).unwrap_or_default().iter().copied());
    if overlapping.is_empty() { Ok(merged) } else { Err(overlapping) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, ours: &str, theirs: &str) -> Result<String, Overlapping> {
        let spread = |text: &str| text.chars().map(|c| format!("{c}\n")).collect::<String>();
        let [base, ours, theirs] = [base, ours, theirs].map(spread);
        let both = merge(Three { base: &base, ours: &ours, theirs: &theirs }, &mut Budget::default());
        let exchanged = merge(Three { base: &base, ours: &theirs, theirs: &ours }, &mut Budget::default());
        assert_eq!(both.as_ref().ok(), exchanged.as_ref().ok(), "the same in either order");
        both.map(|text| text.replace('\n', ""))
    }

    #[test]
    fn changes_of_both_sides_are_merged_unless_they_touch() {
        for (base, ours, theirs, expected) in [
            ("abcde", "aXcde", "abcdY", "aXcdY"),
            ("abcde", "abcde", "abXde", "abXde"),
            ("abcde", "acde", "abce", "ace"),
            ("abcde", "abXcde", "abcdYe", "abXcdYe"),
            ("abcde", "aXXcde", "aXXcde", "aXXcde"),
            ("abcde", "Zabcde", "abcdeZ", "ZabcdeZ"),
            ("abc", "", "", ""),
            ("", "x", "x", "x"),
        ] {
            assert_eq!(merged(base, ours, theirs).as_deref(), Ok(expected), "{base} {ours} {theirs}");
        }
        for (base, ours, theirs) in [
            ("abc", "aXc", "aYc"),
            ("abc", "Xbc", "aYc"),
            ("", "x", "y"),
            ("abc", "ac", "aXc"),
            ("a", "aX", "aY"),
        ] {
            assert!(merged(base, ours, theirs).is_err(), "{base} {ours} {theirs}");
        }
    }

    /// The same edit of two sides is made once, and no edit is taken for another one.
    #[test]
    fn edits_among_equal_lines_are_not_made_twice() {
        assert_eq!(merged("amXb", "amXXb", "pamXXb").as_deref(), Ok("pamXXb"));
        assert!(merged("aaaz", "aaz", "0aaz").is_err(), "which of them is gone is not told");
    }

    #[test]
    fn overlap_names_the_lines_of_all_versions() {
        let overlaps = merged("abcde", "XabYde", "abZde").unwrap_err();
        assert_eq!(overlaps, [Three { base: 2..3, ours: 3..4, theirs: 2..3 }]);
    }

    #[test]
    fn long_texts_are_not_compared_by_line() {
        let text = |c: char| format!("{c}\n").repeat(MAX_LINES + 1);
        let [base, ours, theirs] = ['a', 'b', 'c'].map(text);
        assert_eq!(
            merge(Three { base: &base, ours: &ours, theirs: &theirs }, &mut Budget::default()),
            Err(Vec::new())
        );
    }
}
