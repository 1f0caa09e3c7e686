//! Counts the message content that all sessions hold in memory. A client that starts many messages and finishes none
//! must not use up the machine's memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The memory of one message. Dropping it returns its bytes.
pub(super) struct Held {
    total: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    pub(super) fn nothing(total: &Arc<AtomicUsize>) -> Self {
        Self { total: Arc::clone(total), bytes: 0 }
    }

    /// Sets the number of bytes that the message holds now. Returns the total of all messages.
    pub(super) fn set(&mut self, bytes: usize) -> usize {
        let before = std::mem::replace(&mut self.bytes, bytes);
        match bytes.checked_sub(before) {
            Some(more) => self.total.fetch_add(more, Ordering::Relaxed) + more,
            None => self.total.fetch_sub(before - bytes, Ordering::Relaxed) - (before - bytes),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_until_it_is_dropped() {
        let total = Arc::default();
        let (mut one, mut two) = (Held::nothing(&total), Held::nothing(&total));
        assert_eq!([one.set(10), two.set(5), one.set(30), one.set(20)], [10, 15, 35, 25]);
        drop(one);
        assert_eq!(two.set(6), 6);
        drop(two);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
