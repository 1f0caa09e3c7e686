//! What breaks a rule for now. The list only shrinks: an exception that nothing needs any more is a fault.

use crate::fault::{
    Exception,
    Rule::{self, Circle, Layer, Link, LongFile, LongFunction, UnusedDependency},
};

const fn exception(rule: Rule, place: &'static str, reason: &'static str) -> Exception {
    Exception { rule, place, reason }
}

pub(crate) const EXCEPTIONS: &[Exception] = &[
    exception(Layer, "gatepost -> axum", "the HTTP API is still a part of the binary"),
    exception(Layer, "gatepost -> hyper", "the HTTP API is still a part of the binary"),
    exception(Layer, "gatepost -> hyper-util", "the HTTP API is still a part of the binary"),
    exception(Layer, "gatepost -> maud", "the report is still a part of the binary"),
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
        "crates/diagnosis/src/sources/protocol_log.rs::sessions_are_told_by_how_they_end",
        "a table of cases, one after the other",
    ),
    exception(
        LongFunction,
        "crates/gatepost/src/config/check.rs::every_fault_has_its_message",
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
    exception(
        LongFile,
        "crates/diagnosis/src/signs.rs",
        "signs and the phrases that they are read from are still one file",
    ),
    exception(
        LongFile,
        "crates/gatepost/src/config/settings.rs",
        "settings are in one place, with their documentation",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/diagnose.rs -> crates/diagnosis/src/causes/mod.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/evidence.rs -> crates/diagnosis/src/attempt.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/evidence.rs -> crates/diagnosis/src/contrast.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/experiment.rs -> crates/diagnosis/src/causes/mod.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/finding.rs -> crates/diagnosis/src/experiment.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/join.rs -> crates/diagnosis/src/attempt.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/join.rs -> crates/diagnosis/src/evidence.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/sources/capture.rs -> crates/diagnosis/src/evidence.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/sources/capture/encrypted.rs -> crates/diagnosis/src/evidence.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/diagnosis/src/sources/protocol_log.rs -> crates/diagnosis/src/evidence.rs",
        "evidence, sources and comparison are still one layer",
    ),
    exception(
        Circle,
        "crates/gatepost/src/api/serve.rs -> crates/gatepost/src/node/mod.rs",
        "the HTTP API is still a part of the binary",
    ),
    exception(
        Circle,
        "crates/gatepost/src/case/report.rs -> crates/gatepost/src/case/play.rs",
        "a report reads what was played, and playing prints it",
    ),
    exception(
        Circle,
        "crates/gatepost/src/cli/trace.rs -> crates/gatepost/src/cli/export.rs",
        "an export is a form of a trace",
    ),
    exception(
        Circle,
        "crates/gatepost/src/node/outbound/policies.rs -> crates/gatepost/src/node/preference.rs",
        "a preference is among the policies of a lane",
    ),
    exception(
        Circle,
        "crates/gatepost/src/node/outbound/worker.rs -> crates/gatepost/src/node/outbound/lane.rs",
        "a lane starts workers, and a worker gives its lane the job back",
    ),
    exception(
        Circle,
        "crates/store/src/sqlite/settle.rs -> crates/store/src/sqlite/notice.rs",
        "what is settled owes notices, and a notice is settled too",
    ),
    exception(Link, "ARCHITECTURE.md: crates/console/", "this is where it will be once the layers are in place"),
    exception(Link, "ARCHITECTURE.md: crates/insight/", "this is where it will be once the layers are in place"),
    exception(Link, "ARCHITECTURE.md: crates/node/", "this is where it will be once the layers are in place"),
    exception(Link, "ARCHITECTURE.md: crates/diagnosis/src/", "this is where it will be once the layers are in place"),
    exception(
        Link,
        "ARCHITECTURE.md: crates/gatepost/src/prober.rs",
        "this is where it will be once the layers are in place",
    ),
    exception(Link, "CONTRIBUTING.md: crates/console/", "this is where it will be once the layers are in place"),
    exception(Link, "CONTRIBUTING.md: crates/insight/", "this is where it will be once the layers are in place"),
    exception(Link, "CONTRIBUTING.md: crates/node/", "this is where it will be once the layers are in place"),
    exception(Link, "CONTRIBUTING.md: crates/diagnosis/src/", "this is where it will be once the layers are in place"),
    exception(
        Link,
        "CONTRIBUTING.md: crates/store/src/backend.rs",
        "this is where it will be once the layers are in place",
    ),
    exception(
        Link,
        "CONTRIBUTING.md: crates/trace/src/foreign",
        "this is where it will be once the layers are in place",
    ),
];
