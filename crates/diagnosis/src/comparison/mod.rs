//! Comparison: which dimension separates failed attempts from those that worked, if one does. It looks at all dimensions
//! at once with Fisher's exact test, corrected for the number of ways in which one might have looked. No rule is made
//! for one story.
//!
//! ```text
//!   mod          compares along every dimension and chooses     compared   what came of each
//!    │                                                           split      a difference, and how clear it is
//!   attempts     divides the values of one dimension in two
//!    │
//!   concurrency  statistics
//! ```

mod attempts;
mod compared;
mod concurrency;
mod split;
mod statistics;

use crate::evidence::{Dimension, Evidence, Record};
use crate::tables::HashSet;
use attempts::{Attempts, Look};
use compared::Side;
pub use compared::{Compared, Outcome};
use concurrency::Open;
pub use split::Split;
use statistics::LnFactorials;

/// A split is believed below this chance.
const P_MAX: f64 = 0.01;
/// A split is mentioned below this chance, uncorrected, if there are too few attempts to believe any.
const P_SO_FAR_MAX: f64 = 0.1;
/// A cut that leaves much on the wrong side explains nothing.
const SHARPNESS_MIN: f64 = 0.7;
/// From here on a second dimension has nothing to add.
const SHARPNESS_CLEAN: f64 = 0.9;
/// Of what came after a moment, so much must fail.
const STILL_FAILS_MIN: f64 = 0.8;
/// A second dimension must add this.
const SHARPNESS_GAIN: f64 = 0.15;

/// What all comparisons of the same evidence share.
#[derive(Debug)]
pub(crate) struct Comparer<'e> {
    evidence: &'e Evidence,
    ln: LnFactorials,
    open: Open,
    /// Cipher suites in Schannel's words, if other attempts name theirs in OpenSSL's: they cannot be compared.
    schannel: HashSet<u32>,
}

/// What came of comparing attempts along all dimensions, in the order of [`Dimension::ALL`]; a pair of dimensions last.
#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Comparison {
    pub compared: Vec<Compared>,
}

impl Comparison {
    /// The difference.
    pub(crate) fn split(&self) -> Option<&Split> {
        self.of(Outcome::Separates)?.split.as_ref()
    }

    /// The difference, or else what is one so far.
    pub(crate) fn best(&self) -> Option<&Compared> {
        self.of(Outcome::Separates).or_else(|| self.of(Outcome::SoFar))
    }

    /// The same, with this dimension as the difference if it separates as well as the one that was found.
    pub(crate) fn preferring(mut self, dimension: Dimension) -> Self {
        let sharpness = |compared: &Compared| compared.split.as_ref().map(rank);
        let Some((outcome, best)) = self.best().map(|best| (best.outcome, sharpness(best))) else { return self };
        let lesser = match outcome {
            Outcome::Separates => Outcome::AlsoSeparates,
            _ => Outcome::NotEnoughAttempts,
        };
        let is_other =
            |entry: &Compared| entry.dimension == [dimension] && entry.outcome == lesser && sharpness(entry) == best;
        if let Some(other) = self.compared.iter().position(is_other) {
            mark(&mut self.compared, |entry| entry.outcome == outcome, lesser);
            self.compared[other].outcome = outcome;
        }
        self
    }

    fn of(&self, outcome: Outcome) -> Option<&Compared> {
        self.compared.iter().find(|compared| compared.outcome == outcome)
    }
}

/// Numbers of the cipher suites that are named as Schannel names them; none if all are.
fn schannel_names(evidence: &Evidence) -> HashSet<u32> {
    let is_schannel = |number: &u32| evidence.name(*number).starts_with("CALG_");
    let all: HashSet<u32> = evidence.records.iter().map(|record| record.value(Dimension::Cipher)).collect();
    let (schannel, others): (HashSet<u32>, HashSet<u32>) =
        all.into_iter().filter(|number| *number != 0).partition(is_schannel);
    if others.is_empty() { HashSet::default() } else { schannel }
}

impl<'e> Comparer<'e> {
    pub(crate) fn of(evidence: &'e Evidence) -> Self {
        let schannel = schannel_names(evidence);
        Self { evidence, ln: LnFactorials::up_to(evidence.len()), open: Open::count(evidence), schannel }
    }

    /// Compares some failing attempts with working ones, beside others that fail by other causes.
    pub(crate) fn compare(&self, failing: &[&Record], others: &[&Record], working: &[&Record]) -> Comparison {
        if failing.is_empty() || working.is_empty() {
            return Comparison::default();
        }
        let attempts = Attempts { comparer: self, failing, others, working };
        let looks: Vec<(Dimension, Look)> =
            Dimension::ALL.into_iter().map(|dimension| (dimension, attempts.look(dimension))).collect();
        let single: Vec<&Split> = looks.iter().filter_map(|(_, look)| look.own()).filter(|s| is_believed(s)).collect();
        // Of equals the first: `min_by` keeps it.
        let best = single.iter().copied().min_by(|a, b| rank(a).total_cmp(&rank(b)));
        let pair = attempts.best_pair(best.map(Split::sharpness));
        let winner = if pair.is_some() { None } else { best.map(|split| split.dimension.clone()) };
        let mut compared: Vec<Compared> = looks
            .iter()
            .map(|(dimension, look)| self.outcome(*dimension, look, failing.len(), working.len()))
            .collect();
        if let Some(winner) = winner {
            mark(&mut compared, |entry| entry.dimension == winner, Outcome::Separates);
        } else if pair.is_none() {
            mark_so_far(&mut compared, &self.ln, failing.len() as u64, working.len() as u64);
        }
        compared.extend(pair.map(|(split, side)| Compared {
            side,
            ..Compared::new(split.dimension.clone(), Some(split), Outcome::Separates)
        }));
        Comparison { compared }
    }

    fn outcome(&self, dimension: Dimension, look: &Look, failing: usize, working: usize) -> Compared {
        let (split, outcome) = match look {
            Look::NotObserved => (None, Outcome::NotObserved),
            Look::OneValue => (None, Outcome::OneValue),
            Look::TooManyValues => (None, Outcome::TooManyValues),
            Look::Alike if self.is_small(failing, working) => (None, Outcome::NotEnoughAttempts),
            Look::Alike => (None, Outcome::NoDifference),
            Look::Divided { split, is_own: false, .. } => (Some(split), Outcome::OtherCauses),
            Look::Divided { split, .. } if is_believed(split) => (Some(split), Outcome::AlsoSeparates),
            Look::Divided { split, .. } if is_past(split) && is_clear(split) => (Some(split), Outcome::Past),
            Look::Divided { split, p_value_min, .. } if *p_value_min >= P_MAX => {
                (Some(split), Outcome::NotEnoughAttempts)
            }
            Look::Divided { split, .. } => (Some(split), Outcome::NoDifference),
        };
        let side = match look {
            Look::Divided { side, .. } => side.clone(),
            _ => Side::default(),
        };
        Compared { side, ..Compared::new(vec![dimension], split.cloned(), outcome) }
    }

    /// Not even a perfect division into two values would be believed.
    fn is_small(&self, failed: usize, worked: usize) -> bool {
        let (failed, worked) = (failed as u64, worked as u64);
        self.ln.fisher(failed, 0, failed, worked) * Dimension::ALL.len() as f64 >= P_MAX
    }

    /// The number of the attempt's name for a dimension; 0: not observed.
    fn named(&self, dimension: Dimension, record: &Record) -> u32 {
        let number = record.value(dimension);
        if dimension == Dimension::Cipher && self.schannel.contains(&number) { 0 } else { number }
    }

    /// What the attempt has for a dimension, or for two; `None`: not observed.
    fn value(&self, dimensions: &[Dimension], record: &Record) -> Option<u64> {
        match dimensions {
            [Dimension::MessageSize] => (record.message_bytes > 0).then_some(u64::from(record.message_bytes)),
            [Dimension::Concurrency] => self.open.at(record).map(u64::from),
            [Dimension::Time] => u64::try_from(record.at).ok(),
            [name] => Some(u64::from(self.named(*name, record))).filter(|number| *number != 0),
            [a, b] => {
                let (a, b) = (self.named(*a, record), self.named(*b, record));
                (a != 0 && b != 0).then_some(u64::from(a) << 32 | u64::from(b))
            }
            _ => None,
        }
    }

    /// True if an attempt is on the failing side.
    pub(crate) fn is_on_failing_side(&self, compared: &Compared, record: &Record) -> bool {
        self.value(&compared.dimension, record).is_some_and(|value| compared.side.has(value))
    }
}

fn mark(compared: &mut [Compared], is_it: impl Fn(&Compared) -> bool, outcome: Outcome) {
    if let Some(entry) = compared.iter_mut().find(|entry| is_it(entry)) {
        entry.outcome = outcome;
    }
}

/// With few attempts, the clearest division is worth a word, although it may be a coincidence.
fn mark_so_far(compared: &mut [Compared], ln: &LnFactorials, failed: u64, worked: u64) {
    let is_mentioned = |split: &Split| {
        split.sharpness() >= SHARPNESS_MIN
            && split.failed > 1
            && split.worked > 1
            && !is_past(split)
            && ln.fisher(split.failed, split.of - split.failed, failed, worked) <= P_SO_FAR_MAX
    };
    let few = compared.iter().filter(|entry| entry.outcome == Outcome::NotEnoughAttempts);
    let splits = few.filter_map(|entry| entry.split.as_ref()).filter(|split| is_mentioned(split));
    let clearest = splits.min_by(|a, b| rank(a).total_cmp(&rank(b))).map(|split| split.dimension.clone());
    if let Some(clearest) = clearest {
        mark(compared, |entry| entry.dimension == clearest, Outcome::SoFar);
    }
}

fn is_believed(split: &Split) -> bool {
    is_clear(split) && !is_past(split)
}

fn is_clear(split: &Split) -> bool {
    split.p_value < P_MAX && split.sharpness() >= SHARPNESS_MIN
}

/// "Since" means until now: where most works again, it is past.
fn is_past(split: &Split) -> bool {
    split.dimension == [Dimension::Time] && (split.failed as f64) < STILL_FAILS_MIN * split.of as f64
}

/// Sharper is better; equally sharp ones are told apart by the order of dimensions.
fn rank(split: &Split) -> f64 {
    -(split.sharpness() * 50.0).round()
}
