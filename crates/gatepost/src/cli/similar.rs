//! Errors for names that match nothing, with the names that are most alike.

use std::collections::BTreeSet;

use protocol::host_port;

/// Names shown, at most.
const SHOWN_MAX: usize = 3;
/// Names less alike than this are not shown.
const ALIKE_MIN: f64 = 0.75;

/// Such as `no connector is named hangg; similar names: hang`. `lacking` is the beginning, without the name.
pub(crate) fn no_match<'a>(lacking: &str, wanted: &str, known: impl IntoIterator<Item = &'a str>) -> anyhow::Error {
    let near = similar(wanted, known);
    let wanted = super::screen::clean(wanted);
    match near.as_slice() {
        [] => anyhow::anyhow!("{lacking} {wanted}"),
        [name] => anyhow::anyhow!("{lacking} {wanted}; did you mean {name}?"),
        names => anyhow::anyhow!("{lacking} {wanted}; similar names: {}", names.join(", ")),
    }
}

/// The names that are most alike, the best first.
fn similar<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let alike = |name: &'a str| {
        let lower = name.to_lowercase();
        let (host, _) = host_port::split(&lower);
        let is_part = wanted.len() >= 3 && lower.contains(&wanted);
        let alike = strsim::normalized_damerau_levenshtein(&wanted, &lower)
            .max(strsim::normalized_damerau_levenshtein(&wanted, host))
            .max(if is_part { ALIKE_MIN } else { 0.0 });
        (alike, name)
    };
    let known: BTreeSet<&str> = known.into_iter().collect();
    let mut near: Vec<(f64, &str)> = known.into_iter().map(alike).filter(|(alike, _)| *alike >= ALIKE_MIN).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(SHOWN_MAX).map(|(_, name)| super::screen::clean(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_similar_names_are_suggested() {
        let known = ["hang", "onprem", "mail.onprem.test:25", "MX1.partner.test:25", "mx2.partner.test:25"];
        for (wanted, expected) in [
            ("hangg", "no connector is named hangg; did you mean hang?"),
            ("onperm", "no connector is named onperm; did you mean onprem?"),
            ("mail.onprm.test", "no connector is named mail.onprm.test; did you mean mail.onprem.test:25?"),
            (
                "partner.test",
                "no connector is named partner.test; similar names: MX1.partner.test:25, mx2.partner.test:25",
            ),
            ("zzz", "no connector is named zzz"),
            ("a\u{1b}b", "no connector is named a\u{fffd}b"),
        ] {
            assert_eq!(no_match("no connector is named", wanted, known).to_string(), expected);
        }
    }
}
