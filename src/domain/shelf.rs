//! Numbered places for legs and calls. A copy shares everything with the original; what either of them changes from then on is copied when it
//! is changed. So a snapshot costs a pointer for what stays as it is.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use slab::Slab;

#[derive(Clone, Debug)]
pub(super) struct Shelf<T>(Slab<Arc<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf(Slab::new())
    }
}

impl<T> Shelf<T> {
    /// Takes a free place.
    pub fn insert(&mut self, one: T) -> usize {
        self.0.insert(Arc::new(one))
    }

    /// Frees a place.
    pub fn remove(&mut self, place: usize) -> Arc<T> {
        self.0.remove(place)
    }

    pub fn get(&self, place: usize) -> Option<&T> {
        self.0.get(place).map(|one| &**one)
    }

    pub fn contains(&self, place: usize) -> bool {
        self.0.contains(place)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().map(|(place, one)| (place, &**one))
    }
}

impl<T: Clone> Shelf<T> {
    pub fn get_mut(&mut self, place: usize) -> Option<&mut T> {
        self.0.get_mut(place).map(Arc::make_mut)
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.0[place]
    }
}

impl<T: Clone> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        Arc::make_mut(&mut self.0[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_the_original_changes() {
        let mut shelf = Shelf::default();
        let (changed, stays) = (shelf.insert("a".to_owned()), shelf.insert("b".to_owned()));
        let copy = shelf.clone();
        shelf[changed].push('!');
        assert_eq!((&*shelf[changed], &*copy[changed]), ("a!", "a"));
        assert!(std::ptr::eq(&raw const shelf[stays], &raw const copy[stays]), "one and the same");
        assert_eq!((&**shelf.remove(stays), shelf.len(), copy.len()), ("b", 1, 2));
    }
}
