//! Attempts to compare: how the values of one dimension, or of two together, divide best into those that fail and those
//! that work.

use super::{Comparer, SHARPNESS_CLEAN, SHARPNESS_GAIN, Split, compared::Side, is_believed, rank};
use crate::evidence::{Dimension, Record};
use crate::tables::HashMap;

/// A dimension is compared only if at least this share of the attempts has a value for it.
const OBSERVED_MIN: f64 = 0.8;
/// More values than this are not counted: foreign text must not fill the memory.
const VALUES_MAX: usize = 10_000;
/// More pairs of values than this are not compared.
const PAIRS_MAX: usize = 64;
/// Maximum number of names that are kept of each side.
const NAMES_MAX: usize = 32;
/// Where nearly all fails by other causes, nothing tells what this one holds for: whatever separates the others from what
/// works would separate it as well.
const OWN_SHARE_MIN: f64 = 0.2;

pub(super) struct Attempts<'a> {
    pub(super) comparer: &'a Comparer<'a>,
    pub(super) failing: &'a [&'a Record],
    pub(super) others: &'a [&'a Record],
    pub(super) working: &'a [&'a Record],
}

/// What a dimension looks like.
pub(super) enum Look {
    NotObserved,
    OneValue,
    TooManyValues,
    /// No division has more failures on one side than on the other.
    Alike,
    Divided {
        split: Split,
        side: Side,
        /// Of what fails on the failing side, enough fails by this cause.
        is_own: bool,
        /// The smallest chance that this number of attempts could have shown.
        p_value_min: f64,
    },
}

impl Look {
    pub(super) fn own(&self) -> Option<&Split> {
        match self {
            Self::Divided { split, is_own: true, .. } => Some(split),
            _ => None,
        }
    }
}

/// Attempts with one value.
struct Tally {
    value: u64,
    failed: u64,
    worked: u64,
}

/// Two sides of a list of values, those that fail and those that work.
struct Sides<'t> {
    fails: &'t [Tally],
    works: &'t [Tally],
    /// In how many ways it might have been divided.
    ways: f64,
}

impl Attempts<'_> {
    pub(super) fn look(&self, dimension: Dimension) -> Look {
        let tried = Dimension::ALL.len() as f64;
        let of = |record: &Record| self.comparer.value(&[dimension], record);
        if !dimension.is_name() {
            return self.cut(dimension, of, tried);
        }
        let name = |value: u64| self.comparer.evidence.name(value as u32).to_owned();
        match self.tallies(of, VALUES_MAX) {
            Ok(tallies) => self.partition(vec![dimension], of, tallies, name, tried),
            Err(look) => look,
        }
    }

    /// Two dimensions together, if they separate clearly better than `best`, the sharpness of one alone.
    pub(super) fn best_pair(&self, best: Option<f64>) -> Option<(Split, Side)> {
        let best = best.unwrap_or(0.0);
        if best >= SHARPNESS_CLEAN {
            return None;
        }
        let fits = |(split, _): &(Split, Side)| is_believed(split) && split.sharpness() >= best + SHARPNESS_GAIN;
        self.pairs().into_iter().filter(fits).min_by(|a, b| rank(&a.0).total_cmp(&rank(&b.0)))
    }

    fn pairs(&self) -> Vec<(Split, Side)> {
        let names: Vec<Dimension> = Dimension::ALL.into_iter().filter(|dimension| dimension.is_name()).collect();
        let tried = (names.len() * (names.len() - 1) / 2 + Dimension::ALL.len()) as f64;
        let mut splits = Vec::new();
        for (index, a) in names.iter().enumerate() {
            for b in &names[index + 1..] {
                let of = |record: &Record| self.comparer.value(&[*a, *b], record);
                let evidence = self.comparer.evidence;
                let name = |value: u64| {
                    format!("{} with {}", evidence.name((value >> 32) as u32), evidence.name(value as u32))
                };
                let Ok(tallies) = self.tallies(of, PAIRS_MAX) else { continue };
                if let Look::Divided { split, side, is_own: true, .. } =
                    self.partition(vec![*a, *b], of, tallies, name, tried)
                {
                    splits.push((split, side));
                }
            }
        }
        splits
    }

    /// By value. An error where too little is observed, or nothing differs.
    fn tallies(&self, of: impl Fn(&Record) -> Option<u64>, values_max: usize) -> Result<Vec<Tally>, Look> {
        let mut tallies: HashMap<u64, (u64, u64)> = HashMap::default();
        for (records, is_failing) in [(self.failing, true), (self.working, false)] {
            let mut observed = 0;
            for value in records.iter().filter_map(|record| of(record)) {
                observed += 1;
                let tally = tallies.entry(value).or_default();
                if is_failing {
                    tally.0 += 1
                } else {
                    tally.1 += 1
                }
                if tallies.len() > values_max {
                    return Err(Look::TooManyValues);
                }
            }
            if (observed as f64) < OBSERVED_MIN * records.len() as f64 {
                return Err(Look::NotObserved);
            }
        }
        let tally = |(value, (failed, worked))| Tally { value, failed, worked };
        if tallies.len() > 1 { Ok(tallies.into_iter().map(tally).collect()) } else { Err(Look::OneValue) }
    }

    /// The best division of the values into those that fail and those that work: values in order of their share of
    /// failures, cut where the halves differ most.
    fn partition(
        &self,
        dimension: Vec<Dimension>,
        of: impl Fn(&Record) -> Option<u64>,
        mut tallies: Vec<Tally>,
        name: impl Fn(u64) -> String,
        tried: f64,
    ) -> Look {
        let share = |tally: &Tally| tally.failed as f64 / (tally.failed + tally.worked) as f64;
        tallies.sort_by(|a, b| share(b).total_cmp(&share(a)).then(a.value.cmp(&b.value)));
        let Some(cut) = best_cut(&tallies) else { return Look::Alike };
        let (fails, works) = tallies.split_at(cut);
        let side = Side::Values(fails.iter().map(|tally| tally.value).collect());
        let is_own = self.is_own(fails, |record| of(record).is_some_and(|value| side.has(value)));
        let ways = self.ways(tallies.len(), cut) * tried;
        let names = (named(fails, &name), named(works, &name));
        self.divided(dimension, &Sides { fails, works, ways }, names, side, is_own)
    }

    /// In how many ways the values can be divided. Where few of many values fail, only the divisions into that few and
    /// the rest count, times the number of such sizes.
    fn ways(&self, values: usize, failing: usize) -> f64 {
        let all = 2_f64.powi(i32::try_from(values).unwrap_or(i32::MAX) - 1) - 1.0;
        let alike = self.comparer.ln.ways(values as u64, failing as u64) * (values - 1) as f64;
        all.min(alike)
    }

    /// Above or below a limit.
    fn cut(&self, dimension: Dimension, of: impl Fn(&Record) -> Option<u64>, tried: f64) -> Look {
        let read = |records: &[&Record]| -> Option<Vec<u64>> {
            let values: Vec<u64> = records.iter().filter_map(|record| of(record)).collect();
            (values.len() as f64 >= OBSERVED_MIN * records.len() as f64).then_some(values)
        };
        let (Some(failing), Some(working)) = (read(self.failing), read(self.working)) else {
            return Look::NotObserved;
        };
        let tallies = by_value(&failing, &working);
        if tallies.len() < 2 {
            return Look::OneValue;
        }
        let Some(cut) = best_cut(&tallies) else { return Look::Alike };
        let (fails, works) = tallies.split_at(cut);
        let (Some(least), Some(most)) = (fails.last(), works.first()) else { return Look::Alike };
        let side = Side::From(least.value);
        let is_own = self.is_own(fails, |record| of(record).is_some_and(|value| side.has(value)));
        let names = limits(dimension, least.value, most.value);
        let ways = (tallies.len() - 1) as f64 * tried;
        self.divided(vec![dimension], &Sides { fails, works, ways }, names, side, is_own)
    }

    /// Of what fails on that side, enough fails by this cause.
    fn is_own(&self, fails: &[Tally], is_there: impl Fn(&Record) -> bool) -> bool {
        let (failed, others) = (sum(fails).0 as f64, self.others.iter().filter(|record| is_there(record)).count());
        failed >= OWN_SHARE_MIN * (failed + others as f64)
    }

    fn divided(
        &self,
        dimension: Vec<Dimension>,
        Sides { fails, works, ways }: &Sides<'_>,
        names: (Vec<String>, Vec<String>),
        side: Side,
        is_own: bool,
    ) -> Look {
        let ln = &self.comparer.ln;
        let (failed, wrongly_worked) = sum(fails);
        let (wrongly_failed, worked) = sum(works);
        let (all_failed, all_worked) = (failed + wrongly_failed, worked + wrongly_worked);
        let chance = |failed, worked| (ln.fisher(failed, worked, all_failed, all_worked) * ways).min(1.0);
        let split = Split {
            dimension,
            fails: names.0,
            works: names.1,
            failed,
            of: failed + wrongly_worked,
            worked,
            of_works: worked + wrongly_failed,
            p_value: chance(failed, wrongly_worked),
        };
        Look::Divided { split, side, is_own, p_value_min: chance(all_failed, 0) }
    }
}

/// Tallies with the larger values first. Failures are on that side: larger messages, later times.
fn by_value(failing: &[u64], working: &[u64]) -> Vec<Tally> {
    let failed = failing.iter().map(|value| (*value, true));
    let mut points: Vec<(u64, bool)> = failed.chain(working.iter().map(|value| (*value, false))).collect();
    points.sort_unstable_by_key(|point| std::cmp::Reverse(point.0));
    let tally = |chunk: &[(u64, bool)]| {
        let failed = chunk.iter().filter(|point| point.1).count() as u64;
        Tally { value: chunk[0].0, failed, worked: chunk.len() as u64 - failed }
    };
    points.chunk_by(|a, b| a.0 == b.0).map(tally).collect()
}

/// Where to divide an ordered list, so that the halves differ most (Youden's J).
fn best_cut(tallies: &[Tally]) -> Option<usize> {
    let (failed, worked) = sum(tallies);
    if failed == 0 || worked == 0 {
        return None;
    }
    let (mut best, mut at, mut above) = (0.0, None, (0, 0));
    for (index, tally) in tallies.iter().enumerate().take(tallies.len() - 1) {
        above = (above.0 + tally.failed, above.1 + tally.worked);
        let sharpness = above.0 as f64 / failed as f64 - above.1 as f64 / worked as f64;
        if sharpness > best {
            (best, at) = (sharpness, Some(index + 1));
        }
    }
    at
}

fn named(tallies: &[Tally], name: impl Fn(u64) -> String) -> Vec<String> {
    let mut largest: Vec<&Tally> = tallies.iter().collect();
    if largest.len() > NAMES_MAX {
        largest.sort_by_key(|tally| std::cmp::Reverse(tally.failed + tally.worked));
        largest.truncate(NAMES_MAX);
    }
    let mut names: Vec<String> = largest.into_iter().map(|tally| name(tally.value)).collect();
    names.sort();
    names
}

/// The failing side and the working side of a limit, in words.
fn limits(dimension: Dimension, least: u64, most: u64) -> (Vec<String>, Vec<String>) {
    let (fails, works) = match dimension {
        Dimension::Time => (format!("since {}", time(least)), format!("until {}", time(most))),
        Dimension::Concurrency => (format!("{least} or more connections open"), format!("up to {most}")),
        _ => (format!("from {least} bytes"), format!("up to {most} bytes")),
    };
    (vec![fails], vec![works])
}

fn time(milliseconds: u64) -> String {
    let time = i64::try_from(milliseconds).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.0}")).unwrap_or_default()
}

fn sum(tallies: &[Tally]) -> (u64, u64) {
    tallies.iter().fold((0, 0), |sum, tally| (sum.0 + tally.failed, sum.1 + tally.worked))
}
