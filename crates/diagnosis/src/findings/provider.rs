//! The remedy that a provider's documented code asks for.

use crate::{
    causes::{Remedy, Side},
    evidence::{Direction, Evidence, ProviderCode, Record, Who},
};

/// One failure seldom meets more receivers than this.
const PROVIDERS_MAX: usize = 3;

/// The codes in the replies of these attempts come before what holds for any reply of the kind, one for each provider.
pub(super) fn with_documented(evidence: &Evidence, failing: &[&Record], rest: Vec<Remedy>) -> Vec<Remedy> {
    // Of mail that comes in, the replies are this side's own.
    if evidence.direction() == Direction::Inbound {
        return rest;
    }
    let mut known: Vec<&ProviderCode> = Vec::new();
    for code in failing.iter().filter_map(|record| evidence.symptoms.get(record.symptom)?.known) {
        if known.len() < PROVIDERS_MAX && known.iter().all(|other| other.provider != code.provider) {
            known.push(code);
        }
    }
    known.into_iter().map(remedy).chain(rest).collect()
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
    fn each_provider_s_code_is_told_once() {
        let texts = [
            "421-4.7.28 Gmail has detected an unusual rate of mail - gsmtp",
            "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S775)",
            "421-4.7.28 Gmail has detected an unusual rate of mail - gsmtp again",
            "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred",
        ];
        let mut evidence = Evidence::default();
        for text in texts {
            let (code, rest) = text.split_at(3);
            let (code, enhanced) = (code.parse().ok(), protocol::smtp::EnhancedCode::parse_prefix(&rest[1..]));
            let enhanced = enhanced.map(|(enhanced, _)| enhanced);
            let words = Words { text, speaker: Speaker::Destination, phase: None, code, enhanced };
            let failed = Failed { phase: None, signs: Signs::of_words(&words), code, enhanced, text: text.into() };
            evidence.add(&Attempt { failure: Some(failed), ..Attempt::by(Source::History) }, || None);
        }
        let findings = diagnose(&evidence);
        let told: Vec<&str> = findings[0].remedy.iter().map(|remedy| &remedy.action[..6]).collect();
        for provider in ["Google", "Micros", "Yahoo "] {
            assert_eq!(told.iter().filter(|told| **told == provider).count(), 1, "{findings:#?}");
        }
    }

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
