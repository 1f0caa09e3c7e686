//! Chooses the remedies of a cause for a situation.

use super::{
    cause::Cause,
    remedy::{Remedy, Row, Side, Situation},
};

impl Cause {
    /// In the order of the file; this side's come first where the fault is on this side.
    pub(crate) fn remedies(&self, now: &Situation) -> Vec<Remedy> {
        let rows: Vec<&Row> = self.remedies.iter().filter(|row| row.holds(now)).collect();
        let has_own = rows.iter().any(|row| row.system.is_some() && row.side == Side::Gateway);
        let shown = rows.into_iter().filter(|row| !(row.is_fallback && has_own));
        let mut remedies: Vec<Remedy> = shown.map(|row| row.remedy(now)).collect();
        if now.is_everywhere || now.is_inbound {
            remedies.sort_by_key(|remedy| remedy.side != Side::Gateway);
        }
        remedies
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        causes::{CATALOGUE, CauseId, System},
        evidence::{Sign, Signs},
    };

    const SYSTEMS: [System; 6] =
        [System::Gatepost, System::Postfix, System::Exchange, System::Exim, System::Reporter, System::Other];

    fn actions(id: CauseId, now: &Situation) -> Vec<String> {
        id.cause().remedies(now).into_iter().map(|remedy| remedy.action).collect()
    }

    #[test]
    fn every_cause_has_a_remedy_for_every_system_and_every_situation() {
        for cause in &CATALOGUE {
            for system in SYSTEMS {
                let kinds = [(false, false, false), (true, false, false), (false, true, false), (false, false, true)];
                for (is_everywhere, is_inbound, is_local) in kinds {
                    let now = Situation { system, is_everywhere, is_inbound, is_local, ..Situation::default() };
                    let remedies = cause.remedies(&now);
                    let may_be = !is_everywhere || cause.id.can_be_everywhere();
                    assert!(!remedies.is_empty() || !may_be, "{} for {now:?}", cause.id);
                    for Remedy { action, .. } in remedies {
                        assert!(!action.contains(['{', '}']) || action.contains("{ "), "{}: {action}", cause.id);
                        assert!(action.ends_with(['.', ')']), "{}: {action}", cause.id);
                        let is_foreign = system != System::Gatepost && action.contains("this gateway");
                        assert!(!is_foreign, "{}: {action}", cause.id);
                    }
                }
            }
        }
    }

    #[test]
    fn settings_are_those_of_the_system() {
        let of = |system| actions(CauseId::StarttlsRequired, &Situation { system, ..Situation::default() }).concat();
        for (system, setting) in [
            (System::Gatepost, "`tls = \"opportunistic\"`"),
            (System::Postfix, "smtp_tls_security_level = may"),
            (System::Exchange, "-IgnoreSTARTTLS $false"),
            (System::Exim, "hosts_avoid_tls"),
        ] {
            assert!(of(system).contains(setting), "{setting}: {}", of(system));
            let others = SYSTEMS.into_iter().filter(|other| *other != system);
            assert!(others.into_iter().all(|other| !of(other).contains(setting)), "{setting}");
        }
    }

    #[test]
    fn what_worked_names_the_policy() {
        let now = Situation { policy: Some("legacy".to_owned()), ..Situation::default() };
        for id in [CauseId::NoSharedCipher, CauseId::NoSharedTlsVersion] {
            let known = actions(id, &now).concat();
            assert!(known.contains("\"legacy\"") && !known.contains("intermediate"), "{known}");
            let open = Situation::default();
            assert!(!actions(id, &open).concat().contains("\"legacy\""), "{id}");
        }
    }

    #[test]
    fn no_remedy_exempts_from_a_verdict_about_the_content() {
        for sign in [Sign::VirusFound, Sign::SpamFound] {
            for system in SYSTEMS {
                let now = Situation { system, signs: Signs::default().and(sign), ..Situation::default() };
                let text = actions(CauseId::RejectedByPolicy, &now).concat();
                assert!(!text.is_empty() && !text.to_lowercase().contains("exempt"), "{text}");
            }
        }
    }

    #[test]
    fn this_sides_remedies_come_first_where_all_destinations_fail() {
        let now = Situation { is_everywhere: true, ..Situation::default() };
        for cause in CATALOGUE.iter().filter(|cause| cause.id.can_be_everywhere()) {
            let sides: Vec<Side> = cause.remedies(&now).into_iter().map(|remedy| remedy.side).collect();
            assert_eq!(sides.first(), Some(&Side::Gateway), "{}", cause.id);
            assert!(!sides.contains(&Side::Destination), "{}", cause.id);
        }
    }
}
