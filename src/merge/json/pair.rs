//! Compares the texts of values in two documents, level by level.

use super::cost;

/// The bytes that are compared at once.
const CHUNK: usize = 4096;

/// The last difference that was found between two documents. The values around it differ as well, and those
/// between the beginning of the comparison and the difference are equal, so they are not read again: comparing
/// an object and then its members, and theirs, reads every byte about once.
#[derive(Debug, Default)]
pub(super) struct Pair {
    /// The addresses where the comparison began.
    began: (usize, usize),
    /// The number of equal bytes from there to the difference; none before the first comparison.
    equal: Option<usize>,
}

impl Pair {
    /// Whether two texts are equal. `a` is always in the first document and `b` in the second one, and both
    /// documents stay where they are.
    pub(super) fn is_equal(&mut self, a: &str, b: &str) -> bool {
        if a.len() != b.len() {
            return false;
        }
        let at = (a.as_ptr().addr(), b.as_ptr().addr());
        let ahead = (at.0.wrapping_sub(self.began.0), at.1.wrapping_sub(self.began.1));
        if let Some(equal) = self.equal
            && ahead.0 == ahead.1
            && ahead.0 <= equal
        {
            return a.len() <= equal - ahead.0;
        }
        let equal = common_prefix(a.as_bytes(), b.as_bytes());
        cost::add(equal);
        if equal < a.len() {
            (self.began, self.equal) = (at, Some(equal));
        }
        equal == a.len()
    }
}

/// The number of equal bytes at the beginning.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let chunks = || a.chunks(CHUNK).zip(b.chunks(CHUNK));
    let before = chunks().take_while(|(a, b)| a == b).count();
    let within = chunks().nth(before).map_or(0, |(a, b)| a.iter().zip(b).take_while(|(a, b)| a == b).count());
    a.len().min(before * CHUNK + within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::string_slice, reason = "the text is ASCII")]
    fn values_in_and_around_a_difference_are_told_apart() {
        let a: String = (0..20_000_u32).map(|nth| char::from(b'a' + (nth % 7) as u8)).collect();
        for differs in [0, 1, 5, 4095, 4096, 4097, 19_999] {
            let mut other = a.clone();
            other.replace_range(differs..=differs, "X");
            let mut pair = Pair::default();
            let places = [0, 1, 4, 5, 6, 4000, 4096, 4097, 19_998, 19_999, 20_000];
            for (a_start, b_start) in
                places.into_iter().flat_map(|start| [(start, start), (start, 0), (3, start)])
            {
                for len in places.map(|end| usize::saturating_sub(end, a_start.max(b_start))) {
                    let (a, b) = (&a[a_start..a_start + len], &other[b_start..b_start + len]);
                    assert_eq!(pair.is_equal(a, b), a == b, "{differs} {a_start} {b_start} {len}");
                }
            }
        }
    }
}
