//! Comparison: along which dimension failing and working attempts part, if along any. Over all dimensions at once, by
//! Fisher's exact test, corrected for the number of ways in which one might have looked; never by a rule made for one
//! story.

mod split;
mod statistics;

use crate::evidence::{Dimension, Evidence, Record};
pub use split::Split;
pub(crate) use statistics::LnFactorials;

/// A split is believed below this chance.
const P_MAX: f64 = 0.01;
/// A cut that leaves much on the wrong side explains nothing.
const SHARPNESS_MIN: f64 = 0.7;
/// From here on a second dimension has nothing to add.
const SHARPNESS_CLEAN: f64 = 0.9;
/// Of what came after a moment, so much must fail.
const STILL_FAILS_MIN: f64 = 0.8;
/// A second dimension must add this.
const SHARPNESS_GAIN: f64 = 0.15;
/// A dimension is compared only if at least this share of the attempts has a value for it.
const OBSERVED_MIN: f64 = 0.8;
/// With more values than this a name tells each attempt from each other, and so explains none.
const VALUES_MAX: usize = 64;

/// Where nearly all fails by other causes, nothing tells what this one holds for: whatever parts the others from what works
/// would part it as well.
const OWN_SHARE_MIN: f64 = 0.2;

/// One side of a possible split.
struct Tally {
    value: u64,
    failed: u64,
    worked: u64,
}

/// Finds the split between some failing and some working attempts, beside others that fail by other causes; `None`: there
/// is none.
pub(crate) fn contrast(
    evidence: &Evidence,
    failing: &[&Record],
    others: &[&Record],
    working: &[&Record],
    ln: &LnFactorials,
) -> Option<Split> {
    if failing.is_empty() || working.is_empty() {
        return None;
    }
    let attempts = Attempts { evidence, failing, others, working, ln };
    let tried = Dimension::ALL.len() as f64;
    let single: Vec<Split> =
        Dimension::ALL.into_iter().filter_map(|dimension| attempts.split(dimension, tried)).collect();
    // Of equals the first: `min_by` keeps it.
    let best = single.into_iter().filter(believable).min_by(|a, b| rank(a).total_cmp(&rank(b)));
    if best.as_ref().is_some_and(|split| split.sharpness() >= SHARPNESS_CLEAN) {
        return best;
    }
    let floor = best.as_ref().map_or(0.0, Split::sharpness) + SHARPNESS_GAIN;
    let pairs = attempts.pairs().into_iter().filter(|split| believable(split) && split.sharpness() >= floor);
    pairs.min_by(|a, b| rank(a).total_cmp(&rank(b))).or(best)
}

fn believable(split: &Split) -> bool {
    split.p_value < P_MAX && split.sharpness() >= SHARPNESS_MIN && !is_over(split)
}

/// "Since" means until now: where most works again, the trouble is past.
fn is_over(split: &Split) -> bool {
    split.dimension == [Dimension::Time] && (split.failed as f64) < STILL_FAILS_MIN * split.of as f64
}

/// Sharper is better; equally sharp ones are told apart by the order of dimensions.
fn rank(split: &Split) -> f64 {
    -(split.sharpness() * 50.0).round()
}

struct Attempts<'a> {
    evidence: &'a Evidence,
    failing: &'a [&'a Record],
    others: &'a [&'a Record],
    working: &'a [&'a Record],
    ln: &'a LnFactorials,
}

impl Attempts<'_> {
    fn split(&self, dimension: Dimension, tried: f64) -> Option<Split> {
        match dimension {
            Dimension::MessageSize => {
                self.cut(dimension, |record| (record.message_bytes > 0).then_some(record.message_bytes), tried)
            }
            Dimension::Time => self.cut(dimension, |record| u64::try_from(record.at).ok(), tried),
            named => {
                let of = |record: &Record| u64::from(record.values[named as usize]);
                let sides = self.tallies(of)?;
                let name = |value: u64| self.evidence.name(value as u32).to_owned();
                self.partition(vec![named], of, sides, name, tried)
            }
        }
    }

    /// Pairs of names, where each alone has few values.
    fn pairs(&self) -> Vec<Split> {
        let names: Vec<Dimension> = Dimension::ALL.into_iter().filter(|dimension| dimension.is_name()).collect();
        let tried = (names.len() * (names.len() - 1) / 2 + Dimension::ALL.len()) as f64;
        let mut splits = Vec::new();
        for (index, a) in names.iter().enumerate() {
            for b in &names[index + 1..] {
                let of = |record: &Record| {
                    let (a, b) = (record.values[*a as usize], record.values[*b as usize]);
                    if a == 0 || b == 0 { 0 } else { u64::from(a) << 32 | u64::from(b) }
                };
                let name = |value: u64| {
                    format!("{} with {}", self.evidence.name((value >> 32) as u32), self.evidence.name(value as u32))
                };
                let split = self.tallies(of).and_then(|sides| self.partition(vec![*a, *b], of, sides, name, tried));
                splits.extend(split);
            }
        }
        splits
    }

    /// By value; `None` where too little is observed, or nothing differs.
    fn tallies(&self, of: impl Fn(&Record) -> u64) -> Option<Vec<Tally>> {
        let mut tallies: std::collections::HashMap<u64, (u64, u64)> = std::collections::HashMap::new();
        for (records, is_failing) in [(self.failing, true), (self.working, false)] {
            let mut observed = 0;
            for value in records.iter().map(|record| of(record)).filter(|value| *value != 0) {
                observed += 1;
                let tally = tallies.entry(value).or_default();
                if is_failing {
                    tally.0 += 1
                } else {
                    tally.1 += 1
                }
                if tallies.len() > VALUES_MAX {
                    return None;
                }
            }
            if (observed as f64) < OBSERVED_MIN * records.len() as f64 {
                return None;
            }
        }
        let tally = |(value, (failed, worked))| Tally { value, failed, worked };
        (tallies.len() > 1).then(|| tallies.into_iter().map(tally).collect())
    }

    /// The best division of the values into those that fail and those that work: values in order of their share of
    /// failures, cut where the halves differ most.
    fn partition(
        &self,
        dimension: Vec<Dimension>,
        of: impl Fn(&Record) -> u64,
        mut sides: Vec<Tally>,
        name: impl Fn(u64) -> String,
        tried: f64,
    ) -> Option<Split> {
        let share = |tally: &Tally| tally.failed as f64 / (tally.failed + tally.worked) as f64;
        sides.sort_by(|a, b| share(b).total_cmp(&share(a)).then(a.value.cmp(&b.value)));
        let cut = self.best_cut(&sides)?;
        // As many divisions of the values in two as there are.
        let ways = 2_f64.powi(sides.len() as i32 - 1) - 1.0;
        let (fails, works) = sides.split_at(cut);
        if !self.is_own(fails, |record| fails.iter().any(|tally| tally.value == of(record))) {
            return None;
        }
        let named = |side: &[Tally]| {
            let mut names: Vec<String> = side.iter().map(|tally| name(tally.value)).collect();
            names.sort();
            names
        };
        Some(self.made(dimension, fails, works, (named(fails), named(works)), ways * tried))
    }

    /// Above or below a limit.
    fn cut(&self, dimension: Dimension, of: impl Fn(&Record) -> Option<u64>, tried: f64) -> Option<Split> {
        let read = |records: &[&Record]| -> Option<Vec<u64>> {
            let values: Vec<u64> = records.iter().filter_map(|record| of(record)).collect();
            (values.len() as f64 >= OBSERVED_MIN * records.len() as f64).then_some(values)
        };
        let mut points: Vec<(u64, bool)> = read(self.failing)?.into_iter().map(|value| (value, true)).collect();
        points.extend(read(self.working)?.into_iter().map(|value| (value, false)));
        // Failures stand on the side of the larger values: larger messages, later times.
        points.sort_unstable_by_key(|point| std::cmp::Reverse(point.0));
        let mut sides: Vec<Tally> = Vec::new();
        for chunk in points.chunk_by(|a, b| a.0 == b.0) {
            let failed = chunk.iter().filter(|point| point.1).count() as u64;
            sides.push(Tally { value: chunk[0].0, failed, worked: chunk.len() as u64 - failed });
        }
        if sides.len() < 2 {
            return None;
        }
        let cut = self.best_cut(&sides)?;
        let ways = (sides.len() - 1) as f64;
        let (fails, works) = sides.split_at(cut);
        let (least, most) = (fails.last()?.value, works.first()?.value);
        if !self.is_own(fails, |record| of(record).is_some_and(|value| value >= least)) {
            return None;
        }
        let names = match dimension {
            Dimension::Time => (vec![format!("since {}", time(least))], vec![format!("until {}", time(most))]),
            _ => (vec![format!("from {least} bytes")], vec![format!("up to {most} bytes")]),
        };
        Some(self.made(vec![dimension], fails, works, names, ways * tried))
    }

    /// Of what fails on that side, enough fails by this cause.
    fn is_own(&self, fails: &[Tally], is_there: impl Fn(&Record) -> bool) -> bool {
        let (failed, others) = (sum(fails).0 as f64, self.others.iter().filter(|record| is_there(record)).count());
        failed >= OWN_SHARE_MIN * (failed + others as f64)
    }

    /// Where to divide an ordered list, so that the halves differ most (Youden's J).
    fn best_cut(&self, sides: &[Tally]) -> Option<usize> {
        let (failed, worked) = sum(sides);
        if failed == 0 || worked == 0 {
            return None;
        }
        let (mut best, mut at, mut above) = (0.0, None, (0, 0));
        for (index, tally) in sides.iter().enumerate().take(sides.len() - 1) {
            above = (above.0 + tally.failed, above.1 + tally.worked);
            let sharpness = above.0 as f64 / failed as f64 - above.1 as f64 / worked as f64;
            if sharpness > best {
                (best, at) = (sharpness, Some(index + 1));
            }
        }
        at
    }

    fn made(
        &self,
        dimension: Vec<Dimension>,
        fails: &[Tally],
        works: &[Tally],
        names: (Vec<String>, Vec<String>),
        ways: f64,
    ) -> Split {
        let (failed, wrongly_worked) = sum(fails);
        let (wrongly_failed, worked) = sum(works);
        let p = self.ln.fisher(failed, wrongly_worked, failed + wrongly_failed, worked + wrongly_worked);
        Split {
            dimension,
            fails: names.0,
            works: names.1,
            failed,
            of: failed + wrongly_worked,
            worked,
            of_works: worked + wrongly_failed,
            p_value: (p * ways).min(1.0),
        }
    }
}

fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.0}")).unwrap_or_default()
}

fn sum(sides: &[Tally]) -> (u64, u64) {
    sides.iter().fold((0, 0), |sum, tally| (sum.0 + tally.failed, sum.1 + tally.worked))
}
