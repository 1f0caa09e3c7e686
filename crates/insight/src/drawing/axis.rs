//! The time axis of a picture: places of times in percent, and marks with their numbers.

use jiff::Timestamp;
use maud::{Markup, html};

use super::Mark;
use crate::wording::{clock, later, moment};

/// Room at both ends, as a share of the time, so that nothing is cut.
const MARGIN: f64 = 0.02;
/// Numbers of marks that are closer than this, in percent, are written as one.
const NUMBERS_MIN: f64 = 3.0;

pub struct Axis {
    /// Milliseconds since 1970.
    since: f64,
    until: f64,
}

impl Axis {
    /// From the first of these times to the last.
    pub fn covering(times: impl Iterator<Item = Timestamp>) -> Option<Self> {
        let range = times.map(|at| at.as_millisecond() as f64).fold(None, |range, at| match range {
            None => Some((at, at)),
            Some((since, until)) => Some((f64::min(since, at), f64::max(until, at))),
        });
        let (since, until) = range?;
        let margin = (until - since) * MARGIN;
        (until > since).then_some(Self { since: since - margin, until: until + margin })
    }

    /// Without room at the ends.
    pub fn exactly(since: Timestamp, until: Timestamp) -> Self {
        Self { since: since.as_millisecond() as f64, until: until.as_millisecond() as f64 }
    }

    /// In percent from the left.
    pub fn place(&self, at: Timestamp) -> f64 {
        100.0 * (at.as_millisecond() as f64 - self.since) / (self.until - self.since)
    }

    /// Dashed lines through the whole height and beyond it, so that those of all lanes meet.
    pub fn lines(&self, marks: &[Mark]) -> Markup {
        html! {
            @for mark in marks {
                @let place = percent(self.place(mark.at));
                line.change x1=(place) x2=(place) y1="-12" y2="100%" {}
            }
        }
    }

    /// The numbers above the lines.
    pub fn numbers(&self, marks: &[Mark]) -> Markup {
        html! {
            @if !marks.is_empty() {
                svg.numbers aria-hidden="true" {
                    @for (place, first, last) in self.groups(marks) {
                        text x=(percent(place)) y="14" text-anchor="middle" {
                            (first) @if last > first { "–" (last) }
                        }
                    }
                }
            }
        }
    }

    fn groups(&self, marks: &[Mark]) -> Vec<(f64, usize, usize)> {
        let mut groups: Vec<(f64, usize, usize)> = Vec::new();
        let mut end = f64::MIN;
        for (number, mark) in (1..).zip(marks) {
            let place = self.place(mark.at);
            match groups.last_mut().filter(|_| place - end < NUMBERS_MIN) {
                Some((_, _, last)) => *last = number,
                None => groups.push((place, number, number)),
            }
            end = place;
        }
        groups
    }

    /// The times of both ends.
    pub fn ends(since: Timestamp, until: Timestamp) -> Markup {
        html! {
            p.axis {
                time datetime=(format!("{since:.0}")) { (moment(since)) }
                time datetime=(format!("{until:.0}")) { (later(since, until)) }
            }
        }
    }
}

/// Names the marks.
pub fn legend(marks: &[Mark], text: &dyn Fn(&str) -> Markup) -> Markup {
    let is_one_day = marks.iter().all(|mark| moment(mark.at).get(..10) == moment(marks[0].at).get(..10));
    let time = |at| if is_one_day { clock(at) } else { moment(at) };
    html! {
        @if !marks.is_empty() {
            ol.marks {
                @for mark in marks {
                    li { time datetime=(format!("{:.0}", mark.at)) { (time(mark.at)) } " " (text(&mark.what)) }
                }
            }
        }
    }
}

pub fn percent(value: f64) -> String {
    format!("{value:.2}%")
}
