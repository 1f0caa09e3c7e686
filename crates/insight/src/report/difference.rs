//! The sections that compare failed attempts with those that worked: numbers and pictures.

use diagnosis::{Explained, Split};
use maud::{Markup, html};

use super::Report;
use crate::{
    Drawing, Mark,
    drawing::dimension,
    views::{PictureView, SplitView},
    wording::{counted, probability},
};

impl Report<'_> {
    pub(super) fn who(&self, explained: &Explained<'_>) -> Markup {
        let scope = &explained.finding.scope;
        let picture = PictureView::new(explained, None);
        let marks = self.marks(explained, &picture);
        let text = |text: &str| html! { (self.text(text)) };
        let drawing = Drawing { picture: &picture, text: &text, marks: &marks, rollout: None };
        let split = scope.split.as_ref().map(SplitView::from);
        html! {
            section {
                h2 { "Failed and working attempts" }
                @match (&scope.split, scope.so_far()) {
                    (Some(split), _) => (difference(split, scope.attempts)),
                    (None, Some(split)) => p {
                        "There are not enough attempts to be sure. So far, the " (named(split))
                        " separates failed attempts from those that worked: " (self.text(&split.fails.join(", ")))
                        " fails, " (self.text(&split.works.join(", "))) " works."
                    },
                    (None, None) => p { (no_difference(scope.failed, explained.worked())) },
                }
                (drawing.lanes())
            }
            @if !picture.compared.is_empty() {
                section { h2 { "What differs and what does not" } (drawing.compared(split.as_ref())) }
            }
            @if picture.pair.is_some() { section { h2 { "First difference" } (drawing.pair()) } }
        }
    }

    /// Steps of a rollout and other changes while attempts were made, in order.
    fn marks(&self, explained: &Explained<'_>, picture: &PictureView) -> Vec<Mark> {
        let (Some(since), Some(until)) = (picture.lanes.since, picture.lanes.until) else { return Vec::new() };
        let seen = explained.changes().into_iter().map(|change| Mark::seen(change.at, &change.what));
        let mut marks: Vec<Mark> = seen.chain(self.changes.iter().cloned()).collect();
        marks.retain(|mark| (since..=until).contains(&mark.at));
        Mark::few(marks).0
    }
}

fn difference(split: &Split, attempts: u64) -> Markup {
    html! {
        p {
            "Gatepost compared " (counted(attempts, "attempt")) ". The " (named(split))
            " separates failed attempts from those that worked. The chance of coincidence is " (probability(split.p_value)) "."
        }
    }
}

fn named(split: &Split) -> String {
    let names: Vec<&str> = split.dimension.iter().map(|one| dimension(one.name())).collect();
    names.join(" together with the ")
}

fn no_difference(failed: u64, worked: u64) -> String {
    match worked {
        0 => format!("Every attempt failed: {failed} of {failed}. There are no attempts that worked to compare with."),
        _ => format!(
            "{failed} of {} failed, and {worked} worked. No difference found between them.",
            counted(failed + worked, "attempt")
        ),
    }
}
