//! A split: the difference between failed and working attempts, and how clear it is.

use crate::evidence::Dimension;

/// The difference between failed and working attempts.
#[derive(Clone, PartialEq, Debug)]
pub struct Split {
    /// Two if one alone does not separate them.
    pub dimension: Vec<Dimension>,
    pub fails: Vec<String>,
    pub works: Vec<String>,
    /// Attempts on the failing side that failed, and how many there are.
    pub failed: u64,
    pub of: u64,
    /// Attempts on the working side that worked, and how many there are.
    pub worked: u64,
    pub of_works: u64,
    /// Probability of such a split by chance, corrected for all splits that were tried.
    pub p_value: f64,
}

impl Split {
    /// `tls-policy`, or `node+recipient-domain`.
    pub fn dimension_name(&self) -> String {
        names(&self.dimension)
    }

    /// From 0, no better than chance, to 1, a clean cut (Youden's J over the observed attempts).
    pub fn sharpness(&self) -> f64 {
        let missed = self.of_works - self.worked;
        let (failed, worked) = (self.failed + missed, self.worked + (self.of - self.failed));
        self.failed as f64 / failed.max(1) as f64 + self.worked as f64 / worked.max(1) as f64 - 1.0
    }
}

pub(super) fn names(dimensions: &[Dimension]) -> String {
    dimensions.iter().map(|dimension| dimension.name()).collect::<Vec<_>>().join("+")
}
