//! Puts lists of names into one order.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

/// The number of times that the key was counted before.
pub(super) fn count<K: Eq + Hash>(seen: &mut HashMap<K, usize>, key: K) -> usize {
    let count = seen.entry(key).or_insert(0);
    *count += 1;
    *count - 1
}

/// Merges two lists into one order. The order is that of `lead`. An item that only `follow` has comes after
/// the item that it follows there, and after the items that only `lead` has at that position.
pub(super) fn order<'k, K: Eq + Hash>(lead: &'k [K], follow: &'k [K]) -> Vec<&'k K> {
    let (leading, following): (HashSet<&K>, HashSet<&K>) = (lead.iter().collect(), follow.iter().collect());
    let mut waiting = Vec::new();
    let mut behind: HashMap<&K, Vec<&K>> = HashMap::new();
    let mut anchor = None;
    for key in follow {
        match anchor {
            _ if leading.contains(key) => anchor = Some(key),
            Some(anchor) => behind.entry(anchor).or_default().push(key),
            None => waiting.push(key),
        }
    }
    let mut order = Vec::with_capacity(lead.len() + follow.len());
    for key in lead {
        if following.contains(key) {
            order.append(&mut waiting);
            waiting = behind.remove(key).unwrap_or_default();
        }
        order.push(key);
    }
    order.append(&mut waiting);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_come_after_the_item_they_followed() {
        let ordered = |lead: &str, follow: &str| -> String {
            let (lead, follow): (Vec<_>, Vec<_>) = (lead.chars().collect(), follow.chars().collect());
            order(&lead, &follow).into_iter().collect()
        };
        for (lead, follow, expected) in [
            ("", "", ""),
            ("abc", "abc", "abc"),
            ("", "xy", "xy"),
            ("abc", "axbc", "axbc"),
            ("abc", "xabcy", "xabcy"),
            ("cba", "axbc", "cbax"),
            ("albc", "axbc", "alxbc"),
            ("labc", "xabc", "lxabc"),
            ("abcl", "abcxy", "abclxy"),
            ("ac", "abxc", "abxc"),
        ] {
            assert_eq!(ordered(lead, follow), expected, "{lead} {follow}");
        }
    }
}
