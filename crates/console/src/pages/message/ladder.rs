//! The phases of an attempt, one after the other, with what each one took.

use maud::{Markup, html};
use protocol::smtp::{Failure, Phase, PhaseTime};
use trace::{Attempt, EventKind};

/// An attempt that ends with a failure has that phase as its last rung.
pub(super) fn ladder(kind: &EventKind, attempt: &Attempt) -> Markup {
    let failed = kind.failure().map(|Failure { phase, .. }| *phase);
    let rungs = rungs(&attempt.phases, failed);
    html! {
        @if !rungs.is_empty() {
            ol.ladder aria-label="Phases" {
                @for (phase, took) in rungs {
                    li.fails[failed == Some(phase)] {
                        @if failed == Some(phase) { span.key.fails {} }
                        (phase.name())
                        @if let Some(took) = took { " " span.number { (milliseconds(took)) " ms" } }
                        @if failed == Some(phase) { span.hidden { ", failed here" } }
                    }
                }
            }
        }
    }
}

/// With microseconds. A failure of a phase that took no time of its own comes last.
fn rungs(times: &[PhaseTime], failed: Option<Phase>) -> Vec<(Phase, Option<u64>)> {
    let mut rungs: Vec<_> = times.iter().map(|time| (time.phase, Some(time.duration_us))).collect();
    let missing = failed.filter(|phase| times.iter().all(|time| time.phase != *phase));
    rungs.extend(missing.map(|phase| (phase, None)));
    rungs
}

/// `0.1`, `12`
fn milliseconds(microseconds: u64) -> String {
    match microseconds {
        0..10_000 => format!("{:.1}", microseconds as f64 / 1000.0),
        _ => format!("{}", (microseconds + 500) / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failed_phase_is_always_a_rung() {
        let time = |phase| PhaseTime { phase, duration_us: 1, sent_bytes: 0, received_bytes: 0 };
        let times = [time(Phase::Connect), time(Phase::Banner)];
        let some = Some(1);
        assert_eq!(rungs(&times, None), [(Phase::Connect, some), (Phase::Banner, some)]);
        assert_eq!(rungs(&times, Some(Phase::Banner)), [(Phase::Connect, some), (Phase::Banner, some)]);
        assert_eq!(rungs(&times[..1], Some(Phase::Ehlo)), [(Phase::Connect, some), (Phase::Ehlo, None)]);
        assert_eq!(rungs(&[], Some(Phase::Resolve)), [(Phase::Resolve, None)]);
    }

    #[test]
    fn short_phases_have_a_fraction() {
        for (microseconds, text) in [(0, "0.0"), (140, "0.1"), (9_960, "10.0"), (10_400, "10"), (12_500, "13")] {
            assert_eq!(milliseconds(microseconds), text);
        }
    }
}
