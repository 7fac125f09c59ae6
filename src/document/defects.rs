//! The first defects of a document, and the count of the others.

use std::collections::BTreeMap;

use super::error::{Defect, DocumentError, Reason};
use super::place::Place;

/// How many defects of one document are listed; the others are only counted.
pub const MAX_DEFECTS: usize = 20;

/// Collects defects, which are found out of order: an edge can be checked only once all nodes are known, and
/// these may follow the edges. Each defect is reported with the ordinal of its value. Those with the lowest
/// ordinals are kept, so that the order of checking is not visible and a document with very many defects does
/// not fill the memory.
#[derive(Debug, Default)]
pub(super) struct Defects {
    found: usize,
    /// By ordinal, then by order of reporting.
    first: BTreeMap<(u64, usize), Defect>,
}

impl Defects {
    pub(super) fn report(&mut self, ordinal: u64, place: &Place<'_>, reason: Reason) {
        let at = (ordinal, self.found);
        self.found += 1;
        if self.first.len() == MAX_DEFECTS {
            if self.first.last_key_value().is_some_and(|(last, _)| *last < at) {
                return;
            }
            self.first.pop_last();
        }
        self.first.insert(at, Defect { place: place.to_string(), reason });
    }

    /// Returns an error with the first defects in document order, if there are any.
    pub(super) fn into_result(self) -> Result<(), DocumentError> {
        match self.into_parts() {
            (defects, _) if defects.is_empty() => Ok(()),
            (defects, more) => Err(DocumentError::Invalid { defects, more }),
        }
    }

    /// Returns the first defects in document order, and how many more there are.
    fn into_parts(self) -> (Vec<Defect>, usize) {
        let more = self.found - self.first.len();
        (self.first.into_values().collect(), more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_in_document_order_and_counts_the_others() {
        let mut defects = Defects::default();
        let count = MAX_DEFECTS + 7;
        for n in (0..count).rev() {
            defects.report(n as u64, &Place::Root.index(n), Reason::Missing);
        }
        let (first, more) = defects.into_parts();
        let places: Vec<_> = first.into_iter().map(|defect| defect.place).collect();
        assert_eq!(places, (0..MAX_DEFECTS).map(|n| format!("[{n}]")).collect::<Vec<_>>());
        assert_eq!(more, 7);
    }

    #[test]
    fn defects_of_one_value_keep_the_order_of_reporting() {
        let mut defects = Defects::default();
        defects.report(4, &Place::Root.key("a"), Reason::Missing);
        defects.report(4, &Place::Root.key("b"), Reason::Empty);
        let (first, more) = defects.into_parts();
        assert_eq!(
            first.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a: missing", "b: must not be empty"]
        );
        assert_eq!(more, 0);
    }
}
