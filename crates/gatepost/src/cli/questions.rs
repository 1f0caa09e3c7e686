//! Tests that arguments, parameters of a URL and Graph's `$filter` give equal searches for equal questions.

use clap::{CommandFactory, Parser};
use insight::{Moment, Search};
use jiff::Timestamp;

use super::arguments::SearchArguments;

#[derive(Parser)]
#[command(no_binary_name = true)]
struct Line {
    #[command(flatten)]
    search: SearchArguments,
}

/// Arguments, the same question as parameters, and as a filter if Graph can ask it.
const QUESTIONS: &[(&[&str], &str, Option<&str>)] = &[
    (&[], "", None),
    (&["--sender", "a@b.test"], "sender=a%40b.test", Some("senderAddress eq 'a@b.test'")),
    (&["--sender", "<>"], "sender=%3C%3E", None),
    (
        &["--recipient", "user@onprem.test"],
        "recipient=user@onprem.test",
        Some("recipientAddress eq 'user@onprem.test'"),
    ),
    (&["--recipient", "*@onprem.test"], "recipient=*@onprem.test", None),
    (&["--message-id", "<x@y>"], "message_id=%3Cx@y%3E", Some("messageId eq '<x@y>'")),
    (
        &["--message", "0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"],
        "message=0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e",
        Some("id eq 0198f3c2-7f5a-7c11-9d3e-2b1f6a5c4d3e"),
    ),
    (&["--message", "0198f3c2"], "message=0198f3c2", None),
    (&["--subject", "it's"], "subject=it's", Some("contains(subject,'it''s')")),
    (&["--subject-starts-with", "Re: "], "subject_starts_with=Re:+", Some("startsWith(subject, 'Re: ')")),
    (&["--subject-ends-with", "!"], "subject_ends_with=!", Some("endswith(subject,'!')")),
    (&["--status", "pending"], "status=Pending", Some("status eq 'pending'")),
    (&["--status", "failed,removed"], "status=failed,removed", Some("status eq 'failed'")),
    (&["--status", "filtered-as-spam"], "status=filteredAsSpam", Some("status eq 'filteredAsSpam'")),
    (&["--from-ip", "192.0.2.7"], "from_ip=192.0.2.7", Some("fromIP eq '192.0.2.7'")),
    (&["--to-ip", "::1"], "to_ip=::1", Some("toIP eq '::1'")),
    (&["--size-min", "1KiB", "--size-max", "10MiB"], "size_min=1024&size_max=10MiB", None),
    (&["--connector", "onprem", "--node", "mx2"], "connector=onprem&node=mx2", None),
    (
        &["--policy", "modern", "--tls-version", "TLS 1.2", "--cipher", "RC4-SHA", "--code", "4.7.1"],
        "policy=modern&tls_version=1.2&cipher=RC4-SHA&code=4.7.1",
        None,
    ),
    (&["--since", "2h", "--limit", "7"], "since=2h&limit=7", None),
    (&["--until", "2026-07-30T12:00:00Z", "--after", "5-6"], "until=2026-07-30T12:00:00Z&after=5-6", None),
];

fn of_arguments(arguments: &[&str]) -> Search {
    Line::try_parse_from(arguments).unwrap().search.search()
}

#[test]
fn equal_questions_are_read_alike() {
    let now: Timestamp = "2026-11-25T12:00:00Z".parse().unwrap();
    let (ge, le) = ("2026-11-20T00:00:00Z", "2026-11-25T00:00:00Z");
    for (arguments, parameters, filter) in QUESTIONS {
        let search = of_arguments(arguments);
        assert_eq!(console::read_parameters(parameters).unwrap(), search, "{parameters}");
        let Some(filter) = filter else { continue };
        let read =
            console::read_filter(&format!("{filter} and receivedDateTime ge {ge} and receivedDateTime le {le}"), now);
        // Graph's range includes its end.
        let until: Timestamp = "2026-11-25T00:00:00.001Z".parse().unwrap();
        let since = Some(Moment::At(ge.parse().unwrap()));
        assert_eq!(read.unwrap(), Search { since, until: Some(Moment::At(until)), ..search }, "{filter}");
    }
}

#[test]
fn every_argument_is_a_parameter_and_says_the_same() {
    let line = Line::command();
    let arguments = line.get_arguments().filter(|argument| argument.get_id() != "help").map(|argument| {
        let name = argument.get_long().unwrap_or_default().replace('-', "_");
        (name, argument.get_help().map(ToString::to_string).unwrap_or_default())
    });
    // A program has the whole id.
    let same = |(name, about): &(String, String)| {
        (name.clone(), about.replace(", or its first digits, as `gatepost queue list` shows it", ""))
    };
    let parameters = console::parameters().map(|(name, about)| (name.to_owned(), about.to_owned()));
    let arguments: Vec<_> = arguments.collect();
    assert_eq!(arguments.iter().map(same).collect::<Vec<_>>(), parameters.collect::<Vec<_>>());
}
