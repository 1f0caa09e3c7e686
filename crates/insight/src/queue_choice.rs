//! Deliveries in the queue that an operator means: all that meet conditions, or rows that were chosen one by one. A command changes
//! what was counted just before, and nothing that came later.

use std::collections::{BinaryHeap, HashSet};

use jiff::Timestamp;
use store::{
    Actor, Chosen, Command, Commanded, DeliveryKey, DeliveryRecord, MessageKey, QueueQuery, QueueRow, Selection, State,
    Store,
};
use trace::change::ChosenBy;
use uuid::Uuid;

use crate::{
    WaitReasons,
    queue_groups::{By, Conditions, Wanted},
};

/// How much larger than shown the number of deliveries may be when a command acts: a tenth.
const TOLERANCE: u64 = 10;

/// Which deliveries are meant. All that is given must hold.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Choice {
    pub selection: Selection,
    pub conditions: Conditions,
    /// Empty: of any message.
    pub messages: Vec<Uuid>,
    /// Empty: any.
    pub deliveries: Vec<DeliveryKey>,
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acted {
    Done(Commanded),
    /// Nothing was changed, because this many deliveries match, which is many more than the operator was shown.
    MoreThanShown(u64),
}

/// A page of the deliveries that are meant, by due time, and the number of all.
#[derive(Clone, PartialEq, Debug)]
pub struct ChosenPage {
    pub records: Vec<DeliveryRecord>,
    /// The last row, if there are more.
    pub next: Option<(Timestamp, DeliveryKey)>,
    pub totals: Totals,
}

/// The number of all deliveries that are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    pub deliveries: u64,
    pub messages: u64,
    /// Of the deliveries, how many a node is sending.
    pub leased: u64,
    pub suspended: u64,
}

impl Choice {
    /// True: every delivery in the queue is meant.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Those of them that are in a group.
    pub fn of_group(&self, by: By, group: &str) -> Self {
        let mut narrowed = self.clone();
        by.narrow(group, &mut narrowed.selection, &mut narrowed.conditions);
        narrowed
    }

    /// Does it to the deliveries that match now. `expect`: the number that the operator was shown.
    pub async fn act<S: Store>(
        &self,
        store: &S,
        reasons: &WaitReasons<'_>,
        command: Command,
        expect: Option<u64>,
        by: impl Into<Actor> + Send,
        now: Timestamp,
    ) -> store::Result<Acted> {
        let keys = Keys { matching: self.matching(reasons, now), keys: Vec::new() };
        let Keys { keys, .. } = store.fold_queue(self.selection(), keys, Keys::add).await?;
        let found = keys.len() as u64;
        // What is removed cannot be brought back: no more than was shown.
        let spare = |shown: u64| if command == Command::Remove { 0 } else { shown / TOLERANCE };
        if expect.is_some_and(|shown| found > shown.saturating_add(spare(shown))) {
            return Ok(Acted::MoreThanShown(found));
        }
        if keys.is_empty() {
            return Ok(Acted::Done(Commanded::default()));
        }
        // The conditions of the store are checked once more when it acts.
        let chosen = Chosen { deliveries: keys.into(), by: self.chosen_by() };
        let selection = Selection { chosen: Some(chosen), ..self.selection() };
        store.command(command, selection, by).await.map(Acted::Done)
    }

    /// Up to `limit` of the deliveries, after that row.
    pub async fn page<S: Store>(
        &self,
        store: &S,
        reasons: &WaitReasons<'_>,
        limit: u32,
        after: Option<(Timestamp, DeliveryKey)>,
        now: Timestamp,
    ) -> store::Result<ChosenPage> {
        let matching = self.matching(reasons, now);
        let page = Page::new(matching, limit, after);
        let Page { first, totals, .. } = store.fold_queue(self.selection(), page, Page::add).await?;
        let mut rows = first.into_sorted_vec();
        let is_more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().copied().filter(|_| is_more);
        let deliveries = rows.into_iter().map(|(_, key)| key).collect();
        let selection = Selection { chosen: Some(Chosen { deliveries, ..Chosen::default() }), ..Selection::default() };
        let records = store.list(QueueQuery { selection, limit, after: None }).await?;
        Ok(ChosenPage { records, next, totals })
    }

    /// How many match.
    pub async fn totals<S: Store>(
        &self,
        store: &S,
        reasons: &WaitReasons<'_>,
        now: Timestamp,
    ) -> store::Result<Totals> {
        let matching = self.matching(reasons, now);
        let page = Page::new(matching, 0, None);
        Ok(store.fold_queue(self.selection(), page, Page::add).await?.totals)
    }

    /// What the store can check.
    fn selection(&self) -> Selection {
        let message = match self.messages.as_slice() {
            [one] => Some(*one),
            _ => self.selection.message,
        };
        let chosen = || Chosen { deliveries: self.deliveries.clone().into(), by: ChosenBy::default() };
        let chosen = (!self.deliveries.is_empty()).then(chosen);
        Selection { message, chosen, ..self.selection.clone() }
    }

    fn matching(&self, reasons: &WaitReasons<'_>, now: Timestamp) -> Matching {
        let messages = self.messages.iter().copied().collect();
        Matching { wanted: Wanted::new(&self.conditions, reasons, now), messages }
    }

    /// For the change log.
    fn chosen_by(&self) -> ChosenBy {
        let Conditions { cause, destination, older_than, younger_than } = &self.conditions;
        let rows = match self.messages.len() {
            0 | 1 => self.deliveries.len(),
            messages => messages,
        };
        ChosenBy {
            cause: cause.clone(),
            destination: destination.clone(),
            older_than: older_than.map(|age| age.to_string()),
            younger_than: younger_than.map(|age| age.to_string()),
            rows: rows as u64,
        }
    }
}

/// The conditions that the store cannot check.
struct Matching {
    wanted: Wanted,
    /// Empty: any.
    messages: HashSet<Uuid>,
}

impl Matching {
    fn includes(&self, row: &QueueRow<'_>) -> bool {
        (self.messages.is_empty() || self.messages.contains(&row.network_message_id))
            && self.wanted.includes(row.connector, row.received, row.failure)
    }
}

struct Keys {
    matching: Matching,
    keys: Vec<DeliveryKey>,
}

impl Keys {
    fn add(&mut self, row: &QueueRow<'_>) {
        if self.matching.includes(row) {
            self.keys.push(row.delivery);
        }
    }
}

struct Page {
    matching: Matching,
    totals: Totals,
    /// The last message that was counted: its deliveries follow each other.
    last: Option<MessageKey>,
    after: Option<(Timestamp, DeliveryKey)>,
    limit: usize,
    /// One more than the limit, the last one at its top.
    first: BinaryHeap<(Timestamp, DeliveryKey)>,
}

impl Page {
    fn new(matching: Matching, limit: u32, after: Option<(Timestamp, DeliveryKey)>) -> Self {
        let (totals, limit, first) = (Totals::default(), limit as usize, BinaryHeap::new());
        Self { matching, totals, last: None, after, limit, first }
    }

    fn add(&mut self, row: &QueueRow<'_>) {
        if !self.matching.includes(row) {
            return;
        }
        self.totals.add(row, self.last == Some(row.message));
        self.last = Some(row.message);
        let place = (row.due, row.delivery);
        if self.after.is_none_or(|after| place > after) {
            self.first.push(place);
            if self.first.len() > self.limit + 1 {
                self.first.pop();
            }
        }
    }
}

impl Totals {
    fn add(&mut self, row: &QueueRow<'_>, is_of_known_message: bool) {
        self.deliveries += 1;
        self.messages += u64::from(!is_of_known_message);
        self.leased += u64::from(row.state == State::Leased);
        self.suspended += u64::from(row.state == State::Suspended);
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use protocol::smtp::{Address, Envelope, ReversePath, client::TlsLevel};
    use store::{Content, NewDelivery, NewMessage, Queue as _, SqliteStore};

    use super::*;
    use crate::{ConnectorTls, Connectors};

    struct All;

    impl Connectors for All {
        fn exists(&self, _: &str) -> bool {
            true
        }
        fn tls(&self, _: &str) -> ConnectorTls {
            ConnectorTls { level: TlsLevel::Opportunistic, falls_back: false }
        }
    }

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

    /// A message for two recipients, received some minutes ago.
    async fn accept(store: &SqliteStore, minutes: i64) -> Uuid {
        let delivery = |recipient: &str| NewDelivery {
            recipient: Address::parse(recipient).unwrap(),
            notify: None,
            orcpt: None,
            connector: "onprem".to_owned(),
            due_in: Duration::from_secs(3600),
            review_in: Duration::from_secs(36_000),
        };
        let id = Uuid::now_v7();
        let message = NewMessage {
            network_message_id: id,
            received: NOW - jiff::SignedDuration::from_mins(minutes),
            envelope: Envelope::from(ReversePath::Null),
            message_id: None,
            subject: None,
            size_bytes: 2,
            client: None,
            content: Content::Inline("\r\n".into()),
            withhold_addresses: false,
            deliveries: ["a@x.test", "b@x.test"].map(delivery).into(),
        };
        store.accept(message, None, vec![]).await.unwrap();
        id
    }

    async fn filled(folder: &Path) -> (SqliteStore, Vec<Uuid>) {
        let store = SqliteStore::open(folder, "mx1").unwrap();
        let mut ids = Vec::new();
        for minutes in [90, 30, 1] {
            ids.push(accept(&store, minutes).await);
        }
        (store, ids)
    }

    fn to(recipient: &str) -> Choice {
        let selection = Selection { recipient: Some(recipient.to_owned()), ..Selection::default() };
        Choice { selection, ..Choice::default() }
    }

    fn older_than(age: &str) -> Choice {
        let conditions = Conditions { older_than: age.parse().ok(), ..Conditions::default() };
        Choice { conditions, ..Choice::default() }
    }

    #[tokio::test]
    async fn pages_have_what_is_meant_and_count_all_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (store, ids) = filled(folder.path()).await;
        let reasons = WaitReasons::read(&store, &All, NOW).await.unwrap();
        let every = Choice::default().page(&store, &reasons, 9, None, NOW).await.unwrap();
        let keys = |page: &ChosenPage| page.records.iter().map(|row| row.delivery.key).collect::<Vec<_>>();
        let all = keys(&every);
        for (choice, expected, messages) in [
            (Choice::default(), &all[..], 3),
            (to("b@x.test"), &[all[1], all[3], all[5]], 3),
            (older_than("1h"), &all[..2], 1),
            (Choice { messages: vec![ids[1]], ..Choice::default() }, &all[2..4], 1),
            (Choice { messages: vec![ids[0], ids[2]], ..to("a@x.test") }, &[all[0], all[4]], 2),
            (Choice { deliveries: vec![all[1], all[2]], ..Choice::default() }, &all[1..3], 2),
            (Choice { deliveries: vec![all[1], all[2]], ..older_than("1h") }, &all[1..2], 1),
            (to("nobody@x.test"), &[], 0),
        ] {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = choice.page(&store, &reasons, 2, after, NOW).await.unwrap();
                assert_eq!((page.totals.deliveries, page.totals.messages), (expected.len() as u64, messages));
                found.extend(keys(&page));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "{choice:?}");
        }
    }

    #[tokio::test]
    async fn a_command_changes_no_more_than_was_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (store, ids) = filled(folder.path()).await;
        let reasons = WaitReasons::read(&store, &All, NOW).await.unwrap();
        let done = |changed| Acted::Done(Commanded { changed, leased: 0 });
        for (choice, expect, expected) in [
            (to("a@x.test"), Some(2), Acted::MoreThanShown(3)),
            (to("a@x.test"), Some(0), Acted::MoreThanShown(3)),
            (to("a@x.test"), Some(u64::MAX), done(3)),
            (older_than("1h"), Some(1), Acted::MoreThanShown(2)),
            // One of the two is suspended already.
            (older_than("1h"), Some(2), done(1)),
            (Choice { messages: ids, ..Choice::default() }, None, done(2)),
            (to("nobody@x.test"), Some(0), done(0)),
        ] {
            let acted = choice.act(&store, &reasons, Command::Suspend, expect, "eve", NOW).await.unwrap();
            assert_eq!(acted, expected, "{choice:?} {expect:?}");
        }
        for _ in 0..4 {
            accept(&store, 0).await;
        }
        let totals = Choice::default().totals(&store, &reasons, NOW).await.unwrap();
        assert_eq!((totals.deliveries, totals.suspended, totals.leased), (14, 6, 0));
        for (shown, expected) in [(12, Acted::MoreThanShown(14)), (13, done(6))] {
            let acted =
                Choice::default().act(&store, &reasons, Command::Resume, Some(shown), "eve", NOW).await.unwrap();
            assert_eq!(acted, expected, "{shown}");
        }
    }
}
