//! Handles: numbers that stand for shared things, never used twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

type Held<T> = RwLock<HashMap<i64, Arc<T>>>;

/// Things by their handles. 0 is no handle.
pub(super) struct Table<T> {
    held: LazyLock<Held<T>>,
    next: AtomicI64,
}

impl<T> Table<T> {
    pub const fn new() -> Table<T> {
        Table {
            held: LazyLock::new(Held::default),
            next: AtomicI64::new(1),
        }
    }

    /// Keeps `thing` until its handle is removed.
    pub fn insert(&self, thing: T) -> i64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.insert(handle, Arc::new(thing));
        handle
    }

    /// The thing, for as long as the caller needs it; `None` where the handle is removed or none.
    pub fn get(&self, handle: i64) -> Option<Arc<T>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(&handle).cloned()
    }

    /// Lets go of it. Its memory goes with the last that uses it, outside of the lock.
    pub fn remove(&self, handle: i64) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let removed = held.remove(&handle);
        drop(held);
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_lives_until_its_last_user_is_done() {
        static TABLE: Table<String> = Table::new();
        let handle = TABLE.insert("one".to_owned());
        let other = TABLE.insert("two".to_owned());
        assert_ne!(handle, other);
        let used = TABLE.get(handle).expect("held");
        TABLE.remove(handle);
        TABLE.remove(handle);
        assert!(TABLE.get(handle).is_none());
        assert_eq!(*used, "one");
        assert!(TABLE.get(0).is_none());
    }
}
