//! Numbered places for legs and calls. A copy shares everything with the original; what either of
//! them changes from then on is copied when it is changed. So a snapshot costs a pointer for what
//! stays as it is.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use slab::Slab;

/// The number of a place. Memory ends long before these do, and they stand in every index.
pub(super) type SlotIndex = u32;
/// None.
pub(super) const NOWHERE: SlotIndex = SlotIndex::MAX;

#[derive(Clone, Debug)]
pub(super) struct CowSlab<T>(Slab<Arc<T>>);

fn key(place: SlotIndex) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

fn place(key: usize) -> SlotIndex {
    SlotIndex::try_from(key).unwrap_or(NOWHERE)
}

impl<T> Default for CowSlab<T> {
    fn default() -> Self {
        CowSlab(Slab::new())
    }
}

impl<T> CowSlab<T> {
    /// Takes a free place.
    pub fn insert(&mut self, one: T) -> SlotIndex {
        place(self.0.insert(Arc::new(one)))
    }

    /// Frees a place.
    pub fn remove(&mut self, place: SlotIndex) -> Arc<T> {
        self.0.remove(key(place))
    }

    pub fn get(&self, place: SlotIndex) -> Option<&T> {
        self.0.get(key(place)).map(|one| &**one)
    }

    pub fn contains(&self, place: SlotIndex) -> bool {
        self.0.contains(key(place))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (SlotIndex, &T)> {
        self.0.iter().map(|(key, one)| (place(key), &**one))
    }
}

impl<T: Clone> CowSlab<T> {
    pub fn get_mut(&mut self, place: SlotIndex) -> Option<&mut T> {
        self.0.get_mut(key(place)).map(Arc::make_mut)
    }
}

impl<T> Index<SlotIndex> for CowSlab<T> {
    type Output = T;

    fn index(&self, place: SlotIndex) -> &T {
        &self.0[key(place)]
    }
}

impl<T: Clone> IndexMut<SlotIndex> for CowSlab<T> {
    fn index_mut(&mut self, place: SlotIndex) -> &mut T {
        Arc::make_mut(&mut self.0[key(place)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_the_original_changes() {
        let mut shelf = CowSlab::default();
        let (changed, stays) = (shelf.insert("a".to_owned()), shelf.insert("b".to_owned()));
        let copy = shelf.clone();
        shelf[changed].push('!');
        assert_eq!((&*shelf[changed], &*copy[changed]), ("a!", "a"));
        assert!(
            std::ptr::eq(&raw const shelf[stays], &raw const copy[stays]),
            "one and the same"
        );
        assert_eq!(
            (&**shelf.remove(stays), shelf.len(), copy.len()),
            ("b", 1, 2)
        );
    }
}
