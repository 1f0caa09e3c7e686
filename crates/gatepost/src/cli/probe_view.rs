//! What a probe found, as a view. The view is beside the other answers, which know no sockets.

use insight::views::{PolicySupportView, ProbedView, SuiteView, VariationView, VersionView};
use net::probe::{PolicySupport, Probed, StartTls, Suite, Variation, VersionSupport};
use protocol::tls::TlsVersion;

pub(super) fn view(probed: &Probed) -> ProbedView {
    ProbedView {
        host: probed.host.clone(),
        address: probed.address,
        starttls: starttls(probed.starttls).to_owned(),
        extensions: probed.extensions.map(Into::into),
        phases: probed.phases.clone(),
        failure: probed.failure.clone(),
        handshake: probed.handshake.as_deref().cloned(),
        versions: probed.versions.iter().map(version).collect(),
        groups: probed.groups.iter().map(ToString::to_string).collect(),
        policies: probed.policies.iter().map(policy).collect(),
        variations: probed.variations.iter().map(variation).collect(),
        connections: probed.connections,
        is_cut: probed.is_cut,
    }
}

fn starttls(starttls: StartTls) -> &'static str {
    match starttls {
        StartTls::NotObserved => "not-observed",
        StartTls::Offered => "offered",
        StartTls::NotOffered => "not-offered",
        StartTls::Masked => "masked",
        StartTls::Refused => "refused",
    }
}

fn version(support: &VersionSupport) -> VersionView {
    let number = match support.version {
        TlsVersion::Tls10 => "1.0",
        TlsVersion::Tls11 => "1.1",
        TlsVersion::Tls12 => "1.2",
        TlsVersion::Tls13 => "1.3",
    };
    VersionView {
        version: number.to_owned(),
        suites: support.suites.iter().map(suite).collect(),
        server_prefers: support.server_prefers,
        refusal: support.refusal.clone(),
    }
}

fn suite(suite: &Suite) -> SuiteView {
    SuiteView { suite: suite.suite.0, name: suite.name.clone(), failure: suite.failure.clone() }
}

fn policy(policy: &PolicySupport) -> PolicySupportView {
    PolicySupportView { name: policy.name.clone(), works: policy.works, failure: policy.failure.clone() }
}

fn variation(variation: &Variation) -> VariationView {
    VariationView {
        name: variation.name.clone(),
        what: variation.what.clone(),
        works: variation.works,
        hello_bytes: variation.hello_bytes,
        failure: variation.failure.clone(),
    }
}
