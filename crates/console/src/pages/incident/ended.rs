//! How an incident ended, and at what cost.

use insight::closed_in_words;
use maud::{Markup, html};
use store::Right;

use super::{Shown, said};
use crate::pages::words::{number, time};

impl Shown {
    /// Since when mail flows again, what changed, and how much of it left in plaintext.
    pub(super) fn ended(&self, right: Right) -> Markup {
        let over = self.finding.over.as_ref();
        html! {
            h2 { "How it ended" }
            @if let Some((at, because)) = self.incident.closed {
                p { "Closed at " (time(at)) ": " (closed_in_words(because)) "." }
            }
            @if over.is_none() {
                p { "No attempt on the failing side is known to have worked since, so that the cause may still be there." }
            }
            @if let Some(over) = over {
                p {
                    @if let Some(since) = over.since { "Since " (time(since)) ", attempts work again" }
                    @if !over.changes.is_empty() {
                        ". What changed then: "
                        @for (at, change) in over.changes.iter().enumerate() {
                            @if at > 0 { "; " }
                            (said(&change.what, right))
                        }
                    }
                    "."
                }
                p {
                    b { (number(over.messages)) (if over.messages == 1 { " message" } else { " messages" }) }
                    " had failed and did not wait any more at the end"
                    @if over.messages_in_plaintext > 0 {
                        ", " b { (number(over.messages_in_plaintext)) " of them left in plaintext" }
                        ". The " a href="/policies" { "ledger" } " lists the destinations."
                    } @else { ", none of them in plaintext." }
                }
            }
        }
    }
}
