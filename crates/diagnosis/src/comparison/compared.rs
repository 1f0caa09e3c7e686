//! What came of comparing attempts along one dimension, whether it separates them or not.

use super::Split;
use crate::evidence::Dimension;
use crate::tables::HashSet;

/// A dimension with the division that separates failed attempts best from those that worked.
#[derive(Clone, PartialEq, Debug)]
pub struct Compared {
    /// Two if they were compared together.
    pub dimension: Vec<Dimension>,
    /// `None`: there was nothing to divide.
    pub split: Option<Split>,
    pub outcome: Outcome,
    pub(crate) side: Side,
}

/// The values of the failing side.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) enum Side {
    #[default]
    Nothing,
    Values(HashSet<u64>),
    /// This value and all larger ones.
    From(u64),
}

impl Side {
    pub(crate) fn has(&self, value: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Values(values) => values.contains(&value),
            Self::From(least) => value >= *least,
        }
    }
}

/// What a comparison showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The difference that a finding names.
    Separates,
    /// Not a coincidence either, but another one explains more.
    AlsoSeparates,
    /// True of all attempts so far, but with so few it may be a coincidence.
    SoFar,
    /// With so few attempts, no difference could be told from a coincidence.
    NotEnoughAttempts,
    /// Failed and working attempts are alike.
    NoDifference,
    /// What stands out fails by other causes as well.
    OtherCauses,
    /// Most attempts failed since a time, and most of the later ones worked again.
    Past,
    /// All attempts have the same value.
    OneValue,
    /// Too few attempts have a value.
    NotObserved,
    TooManyValues,
}

impl Outcome {
    /// The stable name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Separates => "separates",
            Self::AlsoSeparates => "also-separates",
            Self::SoFar => "so-far",
            Self::NotEnoughAttempts => "not-enough-attempts",
            Self::NoDifference => "no-difference",
            Self::OtherCauses => "other-causes",
            Self::Past => "past",
            Self::OneValue => "one-value",
            Self::NotObserved => "not-observed",
            Self::TooManyValues => "too-many-values",
        }
    }
}

impl Compared {
    pub(crate) fn new(dimension: Vec<Dimension>, split: Option<Split>, outcome: Outcome) -> Self {
        Self { dimension, split, outcome, side: Side::default() }
    }

    pub fn dimension_name(&self) -> String {
        super::split::names(&self.dimension)
    }
}
