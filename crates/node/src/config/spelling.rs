//! Which name was probably meant. A guess must never weaken security: the operator who follows it believes that only a
//! slip of the pen was mended.

/// Values that are never suggested, wherever they are allowed: each gives up some protection. They are listed all the
/// same, among all that is allowed.
const WEAKENING: [&str; 8] = ["none", "opportunistic", "plaintext", "legacy", "intermediate", "1.0", "1.1", "internet"];

/// All names, and before them the one that was probably meant.
pub fn hint<'a>(wrong: &str, label: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    hint_among(wrong, label, names.clone(), names)
}

/// The same where only some of the names may be suggested.
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
        // Where the nearest may not be suggested, the next is no better a guess.
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
        let hinted = |wrong: &str| hint(wrong, "it is one of", levels.into_iter());
        assert_eq!(hinted("verfy"), "did you mean \"verify\"? it is one of none, opportunistic, require, verify");
        for wrong in ["dane", "nome", "non", "None", "oportunistic", "opportunistik", "tls", ""] {
            assert_eq!(hinted(wrong), "it is one of none, opportunistic, require, verify", "{wrong}");
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
