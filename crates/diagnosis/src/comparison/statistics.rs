//! The tests by which a difference is told from chance.

/// ln n! for every n up to a limit.
#[derive(Debug)]
pub(crate) struct LnFactorials(Vec<f64>);

impl LnFactorials {
    pub(crate) fn up_to(limit: usize) -> Self {
        let mut values = Vec::with_capacity(limit + 1);
        let mut sum = 0.0;
        values.push(0.0);
        for n in 1..=limit {
            sum += (n as f64).ln();
            values.push(sum);
        }
        Self(values)
    }

    fn choose(&self, n: u64, k: u64) -> f64 {
        let ln = |n: u64| self.0.get(n as usize).copied().unwrap_or(f64::INFINITY);
        ln(n) - ln(k) - ln(n - k)
    }

    /// In how many ways `k` of `n` can be chosen.
    pub(super) fn ways(&self, n: u64, k: u64) -> f64 {
        self.choose(n, k).exp()
    }

    /// Fisher's exact test, one-sided: the probability of a coincidence by which, of `failed` among `failed + worked`,
    /// at least `side_failed` are on the side with `side_failed` and `side_worked`. Sums at most 1,000 terms: each is
    /// smaller than the one before by then.
    pub(crate) fn fisher(&self, side_failed: u64, side_worked: u64, failed: u64, worked: u64) -> f64 {
        let (all, side) = (failed + worked, side_failed + side_worked);
        let whole = self.choose(all, side);
        let most = side.min(failed);
        let term = |k: u64| (self.choose(failed, k) + self.choose(worked, side - k) - whole).exp();
        (side_failed..=most).take_while(|k| side - k <= worked).take(1000).map(term).sum::<f64>().min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fisher_s_test_gives_what_the_books_say() {
        let ln = LnFactorials::up_to(200);
        // Fisher's tea: 3 of 4 right by chance in 17 of 70 cases, all 4 in 1 of 70.
        assert!((ln.fisher(3, 1, 4, 4) - 17.0 / 70.0).abs() < 1e-12);
        assert!((ln.fisher(4, 0, 4, 4) - 1.0 / 70.0).abs() < 1e-12);
        // The story: 96 fail on one side, 104 work on the other; 1 in C(200, 96).
        let story = ln.fisher(96, 0, 96, 104);
        assert!(story < 1e-57 && story > 1e-60, "{story}");
        assert!((ln.fisher(0, 5, 5, 5) - 1.0).abs() < 1e-9);
    }
}
