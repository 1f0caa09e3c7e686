//! The sending server's own faults, before the destination could do anything.

use super::{By::Here, Phrases, Sign, When::Any, row};

pub(super) static PHRASES: [Phrases; 4] = [
    row(
        &[Sign::LocalConfiguration],
        Here,
        Any,
        &[
            // Postfix.
            "client tls configuration problem",
            "policy table lookup error",
            "tls engine is unavailable",
            "unknown mail transport error",
            "mail transport unavailable",
            "bad command startup",
            "no mechanism available",
            // What pipe(8) runs, and the sockets of this machine.
            "command output:",
            "command died with*",
            "command time limit exceeded",
            "private/*",
            "no worthy mechs found",
            "no compatible authentication mechanism*",
            "server configuration problem",
            "queue file write error",
            "no space left on device",
            "cannot load certification authority data",
            "invalid cipher grade",
            "error setting cipher grade",
            "invalid tls protocol list",
            // OpenSSL's, of a list of its own in which nothing is left.
            "no cipher match",
            "cannot assign requested address",
            "no such file or directory",
            "address resolver failure",
            "mail system configuration error",
            // Exim.
            "tainted",
            "failed to expand",
            "failed to open",
            "transport process returned non-zero status",
            "local configuration error",
            "gnutls_priority_init*",
            // It could not read a file that verifies certificates.
            "tls session: null",
            // This gateway.
            "local trouble",
            "fault on this node",
        ],
    ),
    row(&[Sign::LocalConfiguration, Sign::LocalCrash], Here, Any, &["killed by signal"]),
    row(
        &[Sign::LocalTlsCredentials],
        Here,
        Any,
        &[
            // Exchange and Schannel.
            "nocredentials",
            "unknowncredentials",
            "sec_e_no_credentials",
            "tlscertificatename of the sendconnector",
            "certificate specified in tlscertificatename",
            "credentials supplied to the package were not recognized",
            // Exim, Postfix and OpenSSL.
            "cert/key setup",
            "cannot get rsa certificate",
            "cannot get rsa private key",
            "cannot get private key",
            "cannot load certificate",
            "error opening chain file",
            "key values mismatch",
        ],
    ),
    row(&[Sign::LocalResolver], Here, Any, &["error reading /etc/resolv.conf", "no nameservers", "no name servers"]),
];
