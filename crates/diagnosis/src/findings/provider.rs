//! The remedy that a provider's documented code asks for.

use crate::{
    causes::{Remedy, Side},
    evidence::{Direction, Evidence, ProviderCode, Record, Who},
};

/// The code in the replies of these attempts comes before what holds for any reply of the kind.
pub(super) fn with_documented(evidence: &Evidence, failing: &[&Record], rest: Vec<Remedy>) -> Vec<Remedy> {
    // Of mail that comes in, the replies are this side's own.
    if evidence.direction() == Direction::Inbound {
        return rest;
    }
    let known = failing.iter().find_map(|record| evidence.symptoms.get(record.symptom)?.known);
    known.map(remedy).into_iter().chain(rest).collect()
}

fn remedy(known: &ProviderCode) -> Remedy {
    let ProviderCode { provider, code, meaning, action, link, who, .. } = known;
    let by = if *who == Who::Sender { "The sender of the message must act: " } else { "" };
    let place = match *link {
        "" => String::new(),
        address if address.contains('@') => format!(" Write to {address}."),
        page => format!(" Go to {page}"),
    };
    Remedy {
        side: if *who == Who::Destination { Side::Destination } else { Side::Gateway },
        action: format!("{provider} ({code}): {meaning} {by}{action}{place}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Evidence, Side, diagnose,
        evidence::{Attempt, Failed, Signs, Source, Speaker, Words},
    };

    #[test]
    fn a_documented_code_says_who_must_act_and_where() {
        let text = "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. (S3150)";
        let words = Words { text, speaker: Speaker::Destination, phase: None, code: Some(550), enhanced: None };
        let failed =
            Failed { phase: None, signs: Signs::of_words(&words), code: Some(550), enhanced: None, text: text.into() };
        let mut evidence = Evidence::default();
        evidence.add(&Attempt { failure: Some(failed), ..Attempt::by(Source::History) }, || None);
        let remedy = &diagnose(&evidence)[0].remedy[0];
        assert_eq!(remedy.side, Side::Gateway);
        assert!(remedy.action.starts_with("Microsoft (S3150): ") && remedy.action.contains("https://"), "{remedy:?}");
    }
}
