use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Above this number of values, the unused ones are removed.
pub(super) const FEW: usize = 64;

/// A map with one shared value per key. A value is dropped when its last user drops it.
#[derive(Debug)]
pub(super) struct SharedByKey<K, V>(Mutex<Known<K, V>>);

#[derive(Debug)]
struct Known<K, V> {
    values: HashMap<K, Weak<V>>,
    /// The number of values after the last cleanup.
    kept: usize,
}

impl<K, V> Default for SharedByKey<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Known { values: HashMap::new(), kept: 0 }))
    }
}

impl<K: Eq + Hash, V: Default> SharedByKey<K, V> {
    /// Returns the value of `key`, or a new one if it is not in use.
    pub(super) fn of(&self, key: K) -> Arc<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { values, kept } = &mut *known;
        if let Some(value) = values.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        // The cleanup waits until the number of values has doubled: if all of them are in use, it must not
        // run for each new one.
        if values.len() >= FEW.max(kept.saturating_mul(2)) {
            values.retain(|_, value| value.strong_count() > 0);
            *kept = values.len();
        }
        let value = Arc::<V>::default();
        values.insert(key, Arc::downgrade(&value));
        value
    }

    /// Returns the value of `key`, if it is in use.
    pub(super) fn held<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values.get(key).and_then(Weak::upgrade)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_shared_while_it_is_in_use() {
        let shared = SharedByKey::<usize, Mutex<u8>>::default();
        let one = shared.of(1);
        assert!(Arc::ptr_eq(&one, &shared.of(1)) && !Arc::ptr_eq(&one, &shared.of(2)));
        *one.lock().unwrap() = 7;
        assert!(shared.held(&1).is_some() && shared.held(&2).is_none());
        drop(one);
        assert!(shared.held(&1).is_none());
        assert_eq!(*shared.of(1).lock().unwrap(), 0);
    }

    #[test]
    fn unused_values_are_removed() {
        let shared = SharedByKey::<usize, u8>::default();
        let kept = shared.of(0);
        for n in 1..FEW * 3 {
            shared.of(n);
        }
        assert!(shared.0.lock().unwrap().values.len() <= FEW);
        assert!(Arc::ptr_eq(&kept, &shared.of(0)));
    }

    #[test]
    fn cleanup_is_rare_when_all_values_are_in_use() {
        let shared = SharedByKey::<usize, u8>::default();
        let mut looks = std::collections::BTreeSet::new();
        let held: Vec<_> = (0..FEW * 8)
            .map(|n| {
                let value = shared.of(n);
                looks.insert(shared.0.lock().unwrap().kept);
                value
            })
            .collect();
        assert_eq!(held.len(), FEW * 8);
        assert_eq!(looks.into_iter().collect::<Vec<_>>(), [0, FEW, FEW * 2, FEW * 4]);
    }
}
