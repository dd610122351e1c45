//! A slab with copy-on-write entries, for the legs and calls of the fold.
//!
//! A clone shares all entries with the original. An entry is copied only when one of the two
//! changes it, so a snapshot costs one pointer per unchanged entry.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use slab::Slab;

/// Index of a slot. Four bytes, because every index of the fold stores it; memory is exhausted
/// long before these numbers are.
pub(super) type SlotIndex = u32;
/// The index of no slot.
pub(super) const NO_SLOT: SlotIndex = SlotIndex::MAX;

#[derive(Clone, Debug)]
pub(super) struct CowSlab<T>(Slab<Arc<T>>);

fn slab_key(slot: SlotIndex) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

fn slot_index(key: usize) -> SlotIndex {
    SlotIndex::try_from(key).unwrap_or(NO_SLOT)
}

impl<T> Default for CowSlab<T> {
    fn default() -> Self {
        CowSlab(Slab::new())
    }
}

impl<T> CowSlab<T> {
    /// Stores a value in a free slot.
    pub fn insert(&mut self, value: T) -> SlotIndex {
        slot_index(self.0.insert(Arc::new(value)))
    }

    /// Frees a slot and returns its value.
    pub fn remove(&mut self, slot: SlotIndex) -> Arc<T> {
        self.0.remove(slab_key(slot))
    }

    pub fn get(&self, slot: SlotIndex) -> Option<&T> {
        self.0.get(slab_key(slot)).map(|value| &**value)
    }

    pub fn contains(&self, slot: SlotIndex) -> bool {
        self.0.contains(slab_key(slot))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (SlotIndex, &T)> {
        self.0
            .iter()
            .map(|(key, value)| (slot_index(key), &**value))
    }
}

impl<T: Clone> CowSlab<T> {
    pub fn get_mut(&mut self, slot: SlotIndex) -> Option<&mut T> {
        self.0.get_mut(slab_key(slot)).map(Arc::make_mut)
    }
}

impl<T> Index<SlotIndex> for CowSlab<T> {
    type Output = T;

    fn index(&self, slot: SlotIndex) -> &T {
        &self.0[slab_key(slot)]
    }
}

impl<T: Clone> IndexMut<SlotIndex> for CowSlab<T> {
    fn index_mut(&mut self, slot: SlotIndex) -> &mut T {
        Arc::make_mut(&mut self.0[slab_key(slot)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_the_old_value_of_a_changed_entry_and_shares_the_others() {
        let mut original = CowSlab::default();
        let changed = original.insert("a".to_owned());
        let unchanged = original.insert("b".to_owned());

        let copy = original.clone();
        original[changed].push('!');

        assert_eq!((&*original[changed], &*copy[changed]), ("a!", "a"));
        assert!(
            std::ptr::eq(&raw const original[unchanged], &raw const copy[unchanged]),
            "an unchanged entry is shared"
        );
        assert_eq!(
            (&**original.remove(unchanged), original.len(), copy.len()),
            ("b", 1, 2)
        );
    }
}
