use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// Above so many values, those that nobody holds any more are looked for.
pub(super) const FEW: usize = 64;

/// One value for each key, shared by all who hold it and forgotten after the last of them.
#[derive(Debug)]
pub(super) struct SharedByKey<K, V>(Mutex<Known<K, V>>);

#[derive(Debug)]
struct Known<K, V> {
    values: HashMap<K, Weak<V>>,
    /// How many there were when they were looked through last.
    kept: usize,
}

impl<K, V> Default for SharedByKey<K, V> {
    fn default() -> Self {
        Self(Mutex::new(Known { values: HashMap::new(), kept: 0 }))
    }
}

impl<K: Eq + Hash, V: Default> SharedByKey<K, V> {
    /// The value of `key`; a new one if nobody holds one.
    pub(super) fn of(&self, key: K) -> Arc<V> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { values, kept } = &mut *known;
        if let Some(value) = values.get(&key).and_then(Weak::upgrade) {
            return value;
        }
        // Not before there are twice as many: where all of them are held, a new one must not cost a look at
        // all.
        if values.len() >= FEW.max(kept.saturating_mul(2)) {
            values.retain(|_, value| value.strong_count() > 0);
            *kept = values.len();
        }
        let value = Arc::<V>::default();
        values.insert(key, Arc::downgrade(&value));
        value
    }

    /// The value of `key`, if somebody holds one.
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
    fn a_value_is_shared_while_it_is_held() {
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
    fn values_that_nobody_holds_are_forgotten() {
        let shared = SharedByKey::<usize, u8>::default();
        let kept = shared.of(0);
        for n in 1..FEW * 3 {
            shared.of(n);
        }
        assert!(shared.0.lock().unwrap().values.len() <= FEW);
        assert!(Arc::ptr_eq(&kept, &shared.of(0)));
    }

    #[test]
    fn many_values_that_are_held_are_looked_through_rarely() {
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
