//! TLS side by side: what the sender offered when it failed and when it worked, and what the destination chose.

use std::collections::HashMap;

use diagnosis::{Attempt, Explained};
use maud::{Markup, html};
use protocol::tls::{Certificate, HandshakeFacts};

use super::Report;

impl Report<'_> {
    pub(super) fn tls(&self, explained: &Explained<'_>) -> Markup {
        let (failing, working) = (explained.failing(), explained.working());
        let (failing, working) = (facts(&failing), facts(&working));
        if failing.is_empty() {
            return html! {};
        }
        html! {
            section {
                h2 { "TLS, side by side" }
                p { "From the bytes of " (failing.len()) " handshakes that failed and " (working.len()) " that worked." }
            }
        }
    }
}

fn facts<'a>(attempts: &[&'a Attempt]) -> Vec<&'a HandshakeFacts> {
    attempts.iter().filter_map(|attempt| attempt.handshake.as_ref()).collect()
}
