//! A list that nearly always has one entry, or none.
//!
//! In: values; out: a slice of them. One alone lies in the list itself. What nearly every goroutine waits for is one thing, and
//! a piece of the heap for each took an eighth of a snapshot of 100,000.

use std::fmt;
use std::ops::Deref;

/// Values in order, of which there are few.
#[derive(Clone, PartialEq, Eq)]
pub struct Few<T>(Kept<T>);

/// By number, so that equal lists are kept in the same way.
#[derive(Clone, PartialEq, Eq)]
enum Kept<T> {
    None,
    One(T),
    /// At least two.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// One value alone.
    pub fn one(value: T) -> Self {
        Self(Kept::One(value))
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(Kept::None)
    }
}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deref().fmt(f)
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Kept::None => &[],
            Kept::One(value) => std::slice::from_ref(value),
            Kept::Many(values) => values,
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut values = values.into_iter();
        let Some(first) = values.next() else { return Self::default() };
        let Some(second) = values.next() else { return Self::one(first) };
        let mut many = Vec::with_capacity(values.size_hint().0.saturating_add(2));
        many.extend([first, second]);
        many.extend(values);
        Self(Kept::Many(many))
    }
}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = std::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_what_was_put_in_however_many() {
        for count in 0..5 {
            let values: Vec<u32> = (0..count).collect();
            let few: Few<u32> = values.iter().copied().collect();
            assert_eq!((&*few, (&few).into_iter().len()), (values.as_slice(), values.len()));
            assert_eq!(few, few.clone());
            assert_eq!(format!("{few:?}"), format!("{values:?}"));
        }
        assert_eq!(Few::one(7), [7].into_iter().collect());
        assert_ne!(Few::one(7), Few::default());
    }
}
