//! The store's contract as checks on the traits alone, so that every engine passes the same.
//!
//! Each check has a new store that is opened twice, as two nodes have it: what is done through one is seen through the
//! other. Its clock stands still until a check sets it.

mod access;
mod bodies;
mod change_log;
mod fleet;
mod history;
mod incidents;
mod leases;
mod members;
mod notices;
mod queue;
mod shares;
mod tallies;
mod tokens;
mod waiting;
mod withholding;

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use bytes::Bytes;
use jiff::{Timestamp, ToSpan};
use protocol::smtp::{
    Address, BodyType, Destination, EnhancedCode, Envelope, Failure, FailureKind, Notify, Phase, Reply, Ret,
    ReversePath, TlsSummary,
};
use tokio::sync::Mutex;
use trace::{Attempt, ChangeKind, Event, EventKind, Received, change::ChosenBy, event::NoticeAction};
use uuid::Uuid;

use crate::*;

/// A new store, opened twice.
pub struct Stores<S> {
    one: S,
    other: S,
    clock: Clock,
    members: Mutex<BTreeMap<String, Member>>,
}

impl<S: Store> Stores<S> {
    /// Both go by this clock.
    pub fn new(one: S, other: S, clock: Clock) -> Self {
        clock.set(at(0));
        Self { one, other, clock, members: Mutex::default() }
    }

    fn set_clock(&self, second: i64) {
        self.clock.set(at(second));
    }

    /// The member of that name; it joins when it is named first.
    async fn member(&self, name: &str) -> Member {
        let mut members = self.members.lock().await;
        if let Some(member) = members.get(name) {
            return member.clone();
        }
        let member = self.one.join(name).await.expect("joined").member;
        members.insert(name.to_owned(), member.clone());
        member
    }

    /// The member, of which the store hears now.
    async fn holder(&self, name: &str) -> Member {
        let member = self.member(name).await;
        assert_eq!(self.one.renew(&member, vec![]).await.expect("heard"), vec![]);
        member
    }

    /// In seconds.
    fn term(&self) -> i64 {
        self.one.lease_term().as_secs() as i64
    }
}

/// Runs every check, each on new stores that `make` gives.
pub async fn run<S: Store>(make: impl AsyncFn() -> Stores<S>) {
    run_on_mail(&make).await;
    run_on_fleet(&make).await;
}

async fn run_on_mail<S: Store>(make: &impl AsyncFn() -> Stores<S>) {
    queue::accepted_mail_is_there(&make().await).await;
    queue::born_leased_is_not_claimed(&make().await).await;
    queue::claims_take_what_is_due_in_order(&make().await).await;
    queue::claims_exclude_each_other(&make().await).await;
    queue::a_message_is_claimed_with_its_recipients(&make().await).await;
    queue::claims_are_limited_in_messages(&make().await).await;
    queue::domains_are_left_for_a_while(&make().await).await;
    queue::what_is_postponed_was_not_tried(&make().await).await;
    queue::results_are_recorded(&make().await).await;
    queue::a_clock_that_was_set_back_leaves_nothing_waiting(&make().await).await;
    queue::reviews_come_when_due(&make().await).await;
    queue::commands_do_what_they_say(&make().await).await;
    queue::commands_act_on_what_was_chosen(&make().await).await;
    queue::suspended_while_leased_stays_suspended(&make().await).await;
    queue::commands_match_addresses_as_traces_do(&make().await).await;
    queue::lists_come_in_pages(&make().await).await;
    waiting::one_pass_meets_what_waits(&make().await).await;
    waiting::ids_are_found_by_their_beginning(&make().await).await;
    leases::a_lost_lease_settles_nothing(&make().await).await;
    leases::leases_are_renewed_and_end(&make().await).await;
    leases::a_retried_accept_adds_nothing(&make().await).await;
    leases::accepting_twice_at_once_accepts_once(&make().await).await;
    leases::a_retried_settlement_changes_nothing(&make().await).await;
    leases::an_old_settlement_does_not_end_a_new_lease(&make().await).await;
    leases::a_settlement_and_the_end_of_its_lease_exclude_each_other(&make().await).await;
    leases::the_last_of_two_settlements_finishes_the_message(&make().await).await;
    leases::a_storm_of_claims_takes_each_delivery_once(&make().await).await;
    leases::a_member_that_was_cut_off_has_lost_its_leases(&make().await).await;
    members::a_name_has_one_living_member(&make().await).await;
    members::a_node_recovers_its_own(&make().await).await;
    members::a_silent_member_keeps_its_leases_until_they_end(&make().await).await;
    members::a_member_that_was_replaced_reports_no_more(&make().await).await;
    members::a_drained_node_stays_drained(&make().await).await;
    bodies::bodies_live_as_long_as_they_are_needed(&make().await).await;
    bodies::large_bodies_come_back_piece_by_piece(&make().await).await;
    bodies::what_dead_members_left_is_swept(&make().await).await;
    bodies::cleaning_leaves_what_is_needed(&make().await).await;
    notices::one_notice_tells_of_all_that_failed(&make().await).await;
    notices::notices_to_one_address_are_limited(&make().await).await;
    notices::a_body_is_kept_until_the_sender_is_told(&make().await).await;
    history::traces_are_found(&make().await).await;
    history::traces_are_found_by_their_last_attempt(&make().await).await;
    history::traces_come_in_pages(&make().await).await;
    history::history_ends_where_mail_has_come_to_rest(&make().await).await;
    tallies::each_delivery_is_counted_once(&make().await).await;
    tallies::what_changes_nothing_is_not_counted(&make().await).await;
    tallies::notices_and_removals_are_counted(&make().await).await;
    tallies::rows_differ_in_what_was_asked_for(&make().await).await;
    tallies::minutes_become_hours_and_end_with_the_history(&make().await).await;
    tallies::a_storm_is_counted_to_the_last_delivery(&make().await).await;
    withholding::addresses_are_withheld_at_rest(&make().await).await;
    withholding::what_comes_late_brings_no_address_back(&make().await).await;
}

async fn run_on_fleet<S: Store>(make: &impl AsyncFn() -> Stores<S>) {
    fleet::reports_replace_each_other(&make().await).await;
    fleet::plans_replace_each_other_in_order(&make().await).await;
    fleet::weak_deliveries_are_counted_by_destination(&make().await).await;
    fleet::inquiries_are_taken_once_and_answered(&make().await).await;
    shares::limits_hold_for_all_nodes(&make().await).await;
    shares::slots_of_a_rate_are_for_one_node_each(&make().await).await;
    shares::a_storm_of_demands_stays_within_the_limit(&make().await).await;
    incidents::pending_is_what_failed_or_has_waited(&make().await).await;
    incidents::what_was_tried_last_is_read_first(&make().await).await;
    incidents::the_watch_is_one_node_s_at_a_time(&make().await).await;
    incidents::an_incident_is_open_once(&make().await).await;
    incidents::an_incident_keeps_its_picture_and_notes(&make().await).await;
    incidents::calls_are_made_in_order_until_they_are_taken(&make().await).await;
    change_log::an_operator_s_commands_are_recorded(&make().await).await;
    change_log::incidents_are_recorded_when_they_open_and_close(&make().await).await;
    change_log::changes_are_read_in_pages_and_forgotten(&make().await).await;
    change_log::a_change_of_a_destination_is_recorded_once(&make().await).await;
    access::an_invitation_is_used_once(&make().await).await;
    access::of_two_who_use_an_invitation_one_does(&make().await).await;
    access::a_session_ends_by_time_and_by_its_user(&make().await).await;
    access::a_session_needs_proof(&make().await).await;
    access::access_is_recorded_with_who_and_from_where(&make().await).await;
    tokens::tokens_work_until_they_expire_or_are_revoked(&make().await).await;
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).expect("a time in range")
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn address(text: &str) -> Address {
    Address::parse(text).expect("an address")
}

fn new_message(recipients: &[&str], due_in: u64) -> NewMessage {
    let delivery = |recipient: &&str| NewDelivery {
        recipient: address(recipient),
        notify: Some(Notify::On { success: true, failure: false, delay: true }),
        orcpt: Some("rfc822;x@y".to_owned()),
        connector: "c".to_owned(),
        due_in: s(due_in),
        review_in: s(10_000),
    };
    NewMessage {
        network_message_id: Uuid::now_v7(),
        received: at(0),
        envelope: Envelope {
            sender: ReversePath::Address(address("sender@out.test")),
            body_type: BodyType::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("envid".to_owned()),
        },
        message_id: Some("id@out.test".to_owned()),
        subject: Some("Grüße".to_owned()),
        size_bytes: 4,
        client: Some([192, 0, 2, 1].into()),
        content: Content::Inline(Bytes::from_static(b"body")),
        withhold_addresses: false,
        deliveries: recipients.iter().map(delivery).collect(),
    }
}

fn received(message: &NewMessage) -> Event {
    let kind = EventKind::Received(Received {
        sender: message.envelope.sender.clone(),
        recipients: 1,
        size_bytes: 4,
        from: None,
        ehlo_name: "client.test".to_owned(),
        tls: None,
        handshake: None,
        session: "00".to_owned(),
    });
    Event { at: message.received, node: "n".to_owned(), message: message.network_message_id, recipient: None, kind }
}

/// Leased by `holder`, if it is given.
async fn accept<S: Store>(stores: &Stores<S>, message: &NewMessage, holder: Option<&str>) -> Accepted {
    let holder = match holder {
        Some(name) => Some(stores.holder(name).await),
        None => None,
    };
    stores.one.accept(message.clone(), holder, vec![received(message).into()]).await.expect("accepted")
}

/// A claim of what is due.
async fn claim<S: Store>(stores: &Stores<S>, node: &str, limit: u32) -> Claim {
    Claim {
        connector: "c".to_owned(),
        due_for: Duration::ZERO,
        limit,
        messages: u32::MAX,
        leave: Leave::default(),
        holder: stores.holder(node).await,
    }
}

/// Claims at that second.
async fn claimed<S: Store>(stores: &Stores<S>, node: &str, now: i64, limit: u32) -> Vec<Claimed> {
    stores.set_clock(now);
    let claim = claim(stores, node, limit).await;
    stores.other.claim(claim).await.expect("claimed")
}

fn keys_of(claimed: &[Claimed]) -> Vec<DeliveryKey> {
    claimed.iter().flat_map(|claimed| claimed.deliveries.iter().map(|delivery| delivery.key)).collect()
}

async fn claim_keys<S: Store>(stores: &Stores<S>, node: &str, now: i64, limit: u32) -> Vec<DeliveryKey> {
    keys_of(&claimed(stores, node, now, limit).await)
}

fn failure() -> Failure {
    Failure::new(Phase::Connect, FailureKind::ConnectionRefused)
}

/// Under the lease with which it was accepted.
fn settlement(accepted: &Accepted, index: usize, outcome: Outcome) -> Settlement {
    Settlement {
        delivery: accepted.deliveries[index],
        lease: accepted.lease.unwrap_or(LeaseNumber(-1)),
        message: accepted.message,
        outcome,
        events: vec![],
        notice: None,
        weak: None,
    }
}

fn delivered() -> Outcome {
    Outcome::Delivered { reply: Reply::new(250, None, "ok"), at: at(50) }
}

fn deferred(due_in: u64) -> Outcome {
    Outcome::Deferred { failure: failure(), due_in: s(due_in), review_in: s(20_000), delay_notified: true }
}

fn failed() -> Outcome {
    Outcome::Failed { failure: failure(), at: at(50) }
}

async fn record<S: Store>(stores: &Stores<S>, message: &NewMessage) -> MessageRecord {
    stores.other.message(message.network_message_id).await.expect("read").expect("the message is there")
}

async fn states<S: Store>(stores: &Stores<S>, message: &NewMessage) -> Vec<State> {
    record(stores, message).await.deliveries.iter().map(|delivery| delivery.state).collect()
}

async fn settle_one<S: Store>(stores: &Stores<S>, settlement: Settlement) -> Vec<DeliveryKey> {
    stores.one.settle(vec![settlement]).await.expect("settled")
}

async fn events_of<S: Store>(stores: &Stores<S>, message: &NewMessage) -> Vec<&'static str> {
    let events = stores.other.events(message.network_message_id).await.expect("read");
    events.iter().map(|event| event.kind.name()).collect()
}

fn attempt_to(last_octet: u8, tls: Option<&str>) -> Attempt {
    Attempt {
        connector: "c".to_owned(),
        destination: Some(Destination {
            host: "mail.x.test".to_owned(),
            port: 25,
            address: Some(([192, 0, 2, last_octet], 25).into()),
        }),
        local: None,
        tls_policy: "legacy".to_owned(),
        plan_version: None,
        tls: tls.map(|cipher| TlsSummary { version: "TLSv1".to_owned(), cipher: cipher.to_owned() }),
        handshake: None,
        phases: vec![],
        plaintext_because: None,
        session: "00".to_owned(),
        duration_ms: 1,
    }
}
