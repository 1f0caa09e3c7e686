//! Alerts in the words of RFC 8446 section 6, and of RFC 5246 section 7.2 for those that TLS 1.3 gave up.

use std::fmt;

use super::Alert;

impl Alert {
    pub const CLOSE_NOTIFY: u8 = 0;
    pub const HANDSHAKE_FAILURE: u8 = 40;
    pub const CERTIFICATE_EXPIRED: u8 = 45;
    pub const UNKNOWN_CA: u8 = 48;
    pub const PROTOCOL_VERSION: u8 = 70;
    pub const INSUFFICIENT_SECURITY: u8 = 71;
    pub const USER_CANCELED: u8 = 90;

    /// `unknown` where the number means nothing.
    pub fn description_name(description: u8) -> &'static str {
        match description {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            52 => "too_many_cids_requested",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            117 => "general_error",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => "unknown",
        }
    }
}

/// `server sent alert 40 handshake_failure (fatal)`.
impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = self.by;
        let level = if self.fatal { "fatal" } else { "warning" };
        match self.description {
            Some(number) => write!(f, "{by} sent alert {number} {} ({level})", Self::description_name(number)),
            None => write!(f, "{by} sent an encrypted alert"),
        }
    }
}
