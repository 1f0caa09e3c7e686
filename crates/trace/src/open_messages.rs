//! Messages that a log has begun and not completed yet: by id, and a limited number at a time.

use std::collections::{HashMap, HashSet, VecDeque};

/// When there are more, the oldest are forgotten: their deliveries are shown without sender and Message-ID.
pub(crate) const MESSAGES_MAX: usize = 200_000;

pub(crate) struct OpenMessages<M> {
    messages: HashMap<Box<str>, M>,
    /// In which they came; ids that were removed since stand in it too.
    order: VecDeque<Box<str>>,
}

impl<M: Default> OpenMessages<M> {
    pub(crate) fn new() -> Self {
        Self { messages: HashMap::new(), order: VecDeque::new() }
    }

    /// The message of that id, a new one where none is known.
    pub(crate) fn entry(&mut self, id: &str) -> &mut M {
        if !self.messages.contains_key(id) {
            self.make_room();
            self.order.push_back(id.into());
            self.messages.insert(id.into(), M::default());
        }
        self.messages.get_mut(id).expect("it is there, or was put there above")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.messages.remove(id);
    }

    /// All of them, in the order in which they came.
    pub(crate) fn into_values(mut self) -> impl Iterator<Item = M> {
        self.order.into_iter().filter_map(move |id| self.messages.remove(&id))
    }

    fn make_room(&mut self) {
        while self.messages.len() >= MESSAGES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.messages.remove(&oldest);
        }
        // Messages come and go in much the same order, so most of what is gone stands at the front.
        if self.order.len() > 2 * self.messages.len() + 1024 {
            self.order.retain(|id| self.messages.contains_key(id));
        }
    }
}

/// Maximum for one message. No server accepts more at once.
const RECIPIENTS_MAX: usize = 100_000;

/// The recipients seen so far.
#[derive(Default)]
pub(crate) struct Recipients(HashSet<Box<str>>);

impl Recipients {
    pub(crate) fn contains(&self, recipient: &str) -> bool {
        self.0.contains(recipient)
    }

    /// True where it is new; one too many is not remembered, and never new.
    pub(crate) fn insert(&mut self, recipient: &str) -> bool {
        self.0.len() < RECIPIENTS_MAX && !self.contains(recipient) && self.0.insert(recipient.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut remembered: OpenMessages<u32> = OpenMessages::new();
        for id in 0..=MESSAGES_MAX {
            *remembered.entry(&id.to_string()) = 1;
        }
        assert_eq!(remembered.messages.len(), MESSAGES_MAX);
        assert_eq!((*remembered.entry("1"), *remembered.entry("0")), (1, 0));
    }

    #[test]
    fn all_that_are_left_come_in_their_order() {
        let mut open: OpenMessages<u32> = OpenMessages::new();
        for number in [3, 1, 2] {
            *open.entry(&number.to_string()) = number;
        }
        open.remove("1");
        assert_eq!(open.into_values().collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn recipients_are_new_once_and_not_without_end() {
        let mut recipients = Recipients::default();
        assert!(recipients.insert("a@x.test") && !recipients.insert("a@x.test"));
        let new = (0..2 * RECIPIENTS_MAX).filter(|number| recipients.insert(&number.to_string())).count();
        assert_eq!(new, RECIPIENTS_MAX - 1);
    }

    /// A log of a year has millions of messages that came and went.
    #[test]
    fn nothing_is_kept_of_what_is_complete() {
        let mut remembered: OpenMessages<u32> = OpenMessages::new();
        for id in 0..100_000 {
            remembered.entry(&id.to_string());
            remembered.remove(&id.to_string());
        }
        assert!(remembered.messages.is_empty() && remembered.order.len() < 2000, "{}", remembered.order.len());
    }
}
