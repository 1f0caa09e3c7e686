//! Suggests the name that was probably meant. A suggestion must never weaken security: the operator who follows it
//! believes that it only corrects a typing error.

/// Values that are never suggested, because each gives up some protection. The list of allowed values still has them.
const WEAKENING: [&str; 8] = ["none", "opportunistic", "plaintext", "legacy", "intermediate", "1.0", "1.1", "internet"];

/// All names, and before them the suggestion, if there is one.
pub fn hint<'a>(wrong: &str, label: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    hint_among(wrong, label, names.clone(), names)
}

/// The same, if only some of the names may be suggested.
pub(super) fn hint_among<'a>(
    wrong: &str,
    label: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    suggested: impl Iterator<Item = &'a str>,
) -> String {
    let all = format!("{label} {}", names.clone().collect::<Vec<_>>().join(", "));
    let alone = names.clone().nth(1).is_none();
    let near = names.map(|name| (strsim::levenshtein(wrong, name), name)).min();
    let mut suggested = suggested.filter(|name| !WEAKENING.contains(name));
    match near {
        // If the nearest name may not be suggested, the next nearest is not a better suggestion.
        Some((distance, name))
            if !alone
                && distance <= 2.max(name.len() / 3)
                && distance < name.chars().count()
                && suggested.any(|one| one == name) =>
        {
            format!("did you mean \"{name}\"? {all}")
        }
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_never_weakens_security() {
        let levels = ["none", "opportunistic", "require", "verify"];
        let hinted = |wrong: &str| hint(wrong, "allowed values are:", levels.into_iter());
        assert_eq!(
            hinted("verfy"),
            "did you mean \"verify\"? allowed values are: none, opportunistic, require, verify"
        );
        for wrong in ["dane", "nome", "non", "None", "oportunistic", "opportunistik", "tls", ""] {
            assert_eq!(hinted(wrong), "allowed values are: none, opportunistic, require, verify", "{wrong}");
        }
        for (wrong, names) in [
            ("plantext", &["retry", "plaintext"][..]),
            ("legasy", &["modern", "intermediate", "legacy"]),
            ("1.4", &["1.0", "1.1"]),
        ] {
            assert!(!hint(wrong, "one of", names.iter().copied()).contains("did you mean"), "{wrong}");
        }
    }
}
