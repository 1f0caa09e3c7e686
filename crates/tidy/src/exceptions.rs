//! What breaks a rule for now. The list only shrinks: an exception that nothing needs any more is a fault.

use crate::fault::{
    Exception,
    Rule::{self, LongFunction, UnusedDependency},
};

const fn exception(rule: Rule, place: &'static str, reason: &'static str) -> Exception {
    Exception { rule, place, reason }
}

pub(crate) const EXCEPTIONS: &[Exception] = &[
    exception(
        UnusedDependency,
        "lab -> openssl-src",
        "build.rs never calls it: the dependency turns features on in the build of OpenSSL",
    ),
    exception(
        UnusedDependency,
        "net -> openssl-src",
        "build.rs never calls it: the dependency turns features on in the build of OpenSSL",
    ),
    exception(
        LongFunction,
        "crates/diagnosis/src/sources/protocol_log/tests.rs::sessions_are_told_by_how_they_end",
        "a table of cases, one after the other",
    ),
    exception(
        LongFunction,
        "crates/node/src/config/check.rs::every_fault_has_its_message",
        "a table of cases, one after the other",
    ),
    exception(
        LongFunction,
        "crates/gatepost/tests/blackbox/cases.rs::root_the_rc4_queue_grows_by_luck_and_drains_after_the_repair",
        "one story, checked in its order",
    ),
    exception(
        LongFunction,
        "crates/gatepost/tests/blackbox/devices.rs::each_device_stops_an_attempt_where_it_says",
        "a table of cases, one after the other",
    ),
    exception(
        LongFunction,
        "crates/gatepost/tests/blackbox/foreign_causes.rs::root_foreign_servers_are_named_for_what_is_wrong_with_them",
        "a table of cases, one after the other",
    ),
    exception(LongFunction, "crates/lab/src/device.rs::about", "a table: one line for each device"),
    exception(
        LongFunction,
        "crates/net/tests/tshark.rs::root_the_senders_facts_are_what_tshark_reads",
        "a table of cases, one after the other",
    ),
    exception(
        LongFunction,
        "crates/protocol/tests/client_dialogues.rs::openings",
        "a table of cases, one after the other",
    ),
    exception(
        LongFunction,
        "crates/protocol/tests/client_dialogues.rs::transactions",
        "a table of cases, one after the other",
    ),
    exception(LongFunction, "crates/protocol/tests/handshake.rs::made", "a table of cases, one after the other"),
    exception(
        LongFunction,
        "crates/trace/tests/exim_log.rs::deliveries_say_what_became_of_them",
        "a table of cases, one after the other",
    ),
];
