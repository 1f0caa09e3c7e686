//! `local-configuration-error`: The sending system fails before the destination can: a setting, a map or a process of
//! its own. Logs: "client TLS configuration problem", Exim "Tainted filename", a smtp process killed by a signal.

use super::{
    cause::{Cause, CauseId, Check, Sign, Symptom},
    remedy::{exchange, exim, gatepost, postfix, sender},
};

const CRASH: &[Sign] = &[Sign::LocalCrash];

pub(super) const CAUSE: Cause = Cause {
    id: CauseId::LocalConfigurationError,
    does: "is not reached, because the sending system fails on its own",
    likelihood,
    remedies: &[
        gatepost("Read the failure: it names the setting or the file. Run `gatepost config check`."),
        postfix(
            "A process of Postfix was killed. Read why the system did so (`dmesg`, `coredumpctl list`): signal 9 comes from a lack of memory or a limit, signal 11 from a fault of the program or a library. In that case update Postfix and its libraries.",
        )
        .on(CRASH),
        postfix(
            "Correct the setting or the file that the evidence names. If it names an address, a socket or a `socketmap:`, start the program that listens there. If it names none, read the lines of the same process before the failure (`warning:`, `fatal:`, `panic:`). Then run `postfix check` and `postfix reload`.",
        ),
        exchange(
            "Read the failure and the Application event log (MSExchangeTransport), and check the connector (`Get-SendConnector NAME | fl`).",
        ),
        exim(
            "Read the failure: it names the option. Where Exim calls a name tainted, use a looked-up value (`$domain_data`, `$local_part_data`) instead of `$domain` or `$local_part`.",
        ),
        sender("Read the failure: it names the setting or the file of {us}."),
    ],
    check: Check::Trace,
    cured_by: &[],
};

fn likelihood(s: &Symptom) -> f64 {
    if s.has(Sign::LocalConfiguration) { 0.95 } else { 0.0 }
}
