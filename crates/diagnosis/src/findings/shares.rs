//! How failed attempts, and those that worked, divide by each dimension that was compared.

use super::explained::Explained;
use crate::{
    comparison::{Compared, Comparer, Outcome},
    evidence::{Dimension, Record},
    tables::HashMap,
};

/// Values that are counted by name; the rest is counted together.
const VALUES_MAX: usize = 4;
/// One dimension follows from another if this share of the attempts with a value are on one side of the other.
const FOLLOWS_MIN: f64 = 0.95;

/// One dimension.
#[derive(Clone, PartialEq, Debug)]
pub struct Shares {
    pub compared: Compared,
    /// Its values decide the side of the difference that the finding names: it differs because that differs.
    pub follows: bool,
    pub failed: Vec<Share>,
    pub worked: Vec<Share>,
}

/// Attempts with one value, or with all values beyond the first few.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// `None`: several other values.
    pub value: Option<String>,
    pub attempts: u64,
}

impl Explained<'_> {
    /// All dimensions that were compared, the clearest difference first.
    pub fn shares(&self) -> Vec<Shares> {
        let scope = &self.finding.scope;
        if scope.compared.is_empty() {
            return Vec::new();
        }
        let comparer = Comparer::of(self.evidence);
        let best = scope.best();
        let mut shares: Vec<Shares> = scope
            .compared
            .iter()
            .map(|compared| {
                let is_other = best.is_some_and(|best| best.dimension != compared.dimension);
                let [failed, worked] = self.divided(&comparer, compared);
                Shares {
                    follows: is_other && best.is_some_and(|best| self.follows(&comparer, compared, best)),
                    compared: compared.clone(),
                    failed,
                    worked,
                }
            })
            .collect();
        shares.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| sharpness(b).total_cmp(&sharpness(a))));
        shares
    }

    fn divided(&self, comparer: &Comparer<'_>, compared: &Compared) -> [Vec<Share>; 2] {
        let sides: [&[&Record]; 2] = [&self.failing, &self.working];
        if compared.dimension.iter().all(|dimension| dimension.is_name()) {
            return sides.map(|records| self.by_value(&compared.dimension, records));
        }
        let Some(split) = &compared.split else { return [Vec::new(), Vec::new()] };
        sides.map(|records| {
            let on_failing = records.iter().filter(|record| comparer.is_on_failing_side(compared, record)).count();
            let share = |values: &[String], attempts: usize| Share {
                value: Some(values.join(", ")),
                attempts: attempts as u64,
            };
            let both = [share(&split.fails, on_failing), share(&split.works, records.len() - on_failing)];
            both.into_iter().filter(|share| share.attempts > 0).collect()
        })
    }

    /// The most frequent values first.
    fn by_value(&self, dimension: &[Dimension], records: &[&Record]) -> Vec<Share> {
        let mut counts: HashMap<Vec<u32>, u64> = HashMap::default();
        for record in records {
            let values = dimension.iter().map(|dimension| record.value(*dimension)).collect();
            *counts.entry(values).or_default() += 1;
        }
        let name = |number: u32| if number == 0 { "not known" } else { self.evidence.name(number) };
        let share = |(numbers, attempts): (Vec<u32>, u64)| {
            let value = numbers.iter().map(|number| name(*number)).collect::<Vec<_>>().join(" with ");
            Share { value: Some(value), attempts }
        };
        let mut shares: Vec<Share> = counts.into_iter().map(share).collect();
        shares.sort_by(|a, b| b.attempts.cmp(&a.attempts).then_with(|| a.value.cmp(&b.value)));
        if shares.len() > VALUES_MAX {
            let rest = shares.split_off(VALUES_MAX - 1).iter().map(|share| share.attempts).sum();
            shares.push(Share { value: None, attempts: rest });
        }
        shares
    }

    /// Attempts that have the same value are on the same side of `best`, and the values are on both.
    fn follows(&self, comparer: &Comparer<'_>, compared: &Compared, best: &Compared) -> bool {
        let [dimension] = compared.dimension.as_slice() else { return false };
        if !dimension.is_name() {
            return false;
        }
        let mut sides: HashMap<u32, [u64; 2]> = HashMap::default();
        for record in self.failing.iter().chain(self.working.iter()) {
            let value = record.value(*dimension);
            if value != 0 {
                sides.entry(value).or_default()[usize::from(comparer.is_on_failing_side(best, record))] += 1;
            }
        }
        let all: u64 = sides.values().flatten().sum();
        let agreeing: u64 = sides.values().map(|[works, fails]| *works.max(fails)).sum();
        let is_on = |side: usize| sides.values().any(|counts| counts[side] > counts[1 - side]);
        all > 0 && agreeing as f64 >= FOLLOWS_MIN * all as f64 && is_on(0) && is_on(1)
    }
}

fn order(shares: &Shares) -> u8 {
    match shares.compared.outcome {
        Outcome::Separates => 0,
        Outcome::SoFar => 1,
        Outcome::AlsoSeparates => 2,
        Outcome::OtherCauses | Outcome::Past => 3,
        Outcome::NotEnoughAttempts => 4,
        Outcome::NoDifference => 5,
        Outcome::OneValue => 6,
        Outcome::TooManyValues => 7,
        Outcome::NotObserved => 8,
    }
}

fn sharpness(shares: &Shares) -> f64 {
    shares.compared.split.as_ref().map_or(0.0, |split| split.sharpness())
}
