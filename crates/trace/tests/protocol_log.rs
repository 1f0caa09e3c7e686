//! Protocol logs: foreign ones are read as far as they go, and what is written reads back.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use gatepost_trace::protocol_log::{LogType, Row, RowKind, header, read, row, sessions};
use jiff::Timestamp;
use proptest::prelude::*;

/// Interlaced sessions, a repeated number, no local endpoint before the socket is up, and a quoted TLS line.
const LOG: &str = "\
#Software: Microsoft Exchange Server\r
#Version: 15.0.0.0\r
#Log-type: SMTP Send Protocol Log\r
#Date: 2019-03-21T13:01:06.525Z\r
#Fields: date-time,connector-id,session-id,sequence-number,local-endpoint,remote-endpoint,event,data,context\r
2019-03-21T13:01:06.525Z,Исходящий,08D6ADF43C7A1C11,0,,192.0.2.7:25,*,,attempting to connect\r
2019-03-21T13:01:06.530Z,Исходящий,08D6ADF43C7A1C12,0,,[2001:db8::7]:25,*,,attempting to connect\r
2019-03-21T13:01:06.540Z,Исходящий,08D6ADF43C7A1C11,1,10.0.0.1:4711,192.0.2.7:25,+,,\r
2019-03-21T13:01:06.550Z,Исходящий,08D6ADF43C7A1C11,3,10.0.0.1:4711,192.0.2.7:25,<,220 2.0.0 ready,\r
2019-03-21T13:01:06.545Z,Исходящий,08D6ADF43C7A1C11,2,10.0.0.1:4711,192.0.2.7:25,*,,\"TLS protocol SP_PROT_TLS1_0_CLIENT \
negotiation succeeded using bulk encryption algorithm CALG_RC4 with strength 128 bits, MAC hash algorithm CALG_SHA1\"\r
2019-03-21T13:01:06.551Z,Исходящий,08D6ADF43C7A1C11,3,10.0.0.1:4711,192.0.2.7:25,>,EHLO a,\r
not a row\r
2019-03-21T13:01:06.560Z,Исходящий,08D6ADF43C7A1C11,4,10.0.0.1:4711,192.0.2.7:25,-,,Remote(Connecti";

#[test]
fn a_log_is_read_in_any_encoding_and_as_far_as_it_goes() {
    let utf16 = |big_endian: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xfeff).into_iter().chain(LOG.encode_utf16());
        units.flat_map(|unit| if big_endian { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let with_mark = [b"\xef\xbb\xbf", LOG.as_bytes()].concat();
    for bytes in [LOG.as_bytes().to_vec(), with_mark, utf16(false, true), utf16(true, true), utf16(false, false)] {
        let log = read(&bytes);
        assert_eq!((log.log_type, log.rows.len(), log.rows_skipped), (Some(LogType::Send), 7, 1));
        let sessions = sessions(log.rows);
        assert_eq!(sessions.len(), 2);
        let first = &sessions[0];
        assert_eq!(first.id, "08D6ADF43C7A1C11");
        let numbers: Vec<_> = first.rows.iter().map(|row| (row.sequence, row.kind.symbol())).collect();
        assert_eq!(numbers, [(0, "*"), (1, "+"), (2, "*"), (3, "<"), (3, ">"), (4, "-")]);
        assert!(first.rows[2].context.contains("CALG_RC4 with strength 128 bits, MAC hash"), "{:?}", first.rows[2]);
        assert_eq!((first.rows[0].local.as_str(), first.rows[0].connector.as_str()), ("", "Исходящий"));
        assert_eq!(first.rows[5].context, "Remote(Connecti", "the last row is cut");
        assert_eq!(sessions[1].rows[0].remote, "[2001:db8::7]:25");
    }
}

/// Fields in another order, as the header says.
#[test]
fn the_fields_line_is_believed() {
    let log = read(b"#Fields: session-id,sequence-number,event,data,date-time\n08D6ADF43C7A1C11,7,>,\"MAIL FROM:<a,b@x.test>\",2019-03-21T13:01:06.525Z\n");
    assert_eq!(log.rows.len(), 1);
    let row = &log.rows[0];
    assert_eq!((row.sequence, row.kind, row.data.as_str()), (7, RowKind::Sent, "MAIL FROM:<a,b@x.test>"));
    assert_eq!(row.at, "2019-03-21T13:01:06.525Z".parse().ok());
}

#[test]
fn the_header_names_type_and_fields() {
    let at: Timestamp = "2026-07-30T09:00:00.0255Z".parse().unwrap();
    let text = header(LogType::Receive, at);
    assert!(text.contains("#Log-type: SMTP Receive Protocol Log\r\n#Date: 2026-07-30T09:00:00.025Z\r\n"), "{text}");
    assert_eq!(read(text.as_bytes()).log_type, Some(LogType::Receive));
}

fn any_row() -> impl Strategy<Value = Row> {
    let kind = prop::sample::select(vec![
        RowKind::Connect,
        RowKind::Disconnect,
        RowKind::Sent,
        RowKind::Received,
        RowKind::Information,
    ]);
    let text = "[ -~é日\"',#]{0,40}|'*[=@+-][ -~]{0,5}";
    (0i64..4_000_000_000_000, text, "[0-9A-F]{16}", any::<u32>(), kind, text, text).prop_map(
        |(at, connector, session, sequence, kind, data, context)| Row {
            at: Timestamp::from_millisecond(at).ok(),
            connector,
            session,
            sequence,
            local: "10.0.0.1:4711".to_owned(),
            remote: "[2001:db8::7]:25".to_owned(),
            kind,
            data,
            context,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_reads_back(rows in prop::collection::vec(any_row(), 0..20)) {
        let text = header(LogType::Send, Timestamp::UNIX_EPOCH) + &rows.iter().map(row).collect::<String>();
        let log = read(text.as_bytes());
        prop_assert_eq!((log.rows, log.rows_skipped), (rows, 0));
    }

    /// No field of foreign text makes a second row, and no bytes make the reader panic.
    #[test]
    fn a_row_is_a_line(mut given in any_row(), data in any::<String>(), bytes in any::<Vec<u8>>()) {
        given.data = data;
        let text = row(&given);
        prop_assert_eq!(text.matches('\n').count(), 1);
        prop_assert_eq!(read(text.as_bytes()).rows.len(), 1);
        read(&bytes);
    }
}

fn sample(name: &str) -> Vec<u8> {
    samples::read(&format!("exchange-logs/{name}"))
}

#[test]
fn corpus_published_logs_are_read_as_far_as_they_are_logs() {
    let log = read(&sample("msdocs_smtpsend_unknowncredentials.log"));
    assert_eq!((log.rows.len(), log.rows_skipped), (6, 0));
    let sessions = sessions(log.rows);
    assert_eq!((sessions.len(), sessions[0].id.as_str()), (1, "08D50D3D9730A8D2"));
    let rows = &sessions[0].rows;
    assert_eq!(rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [16, 17, 18, 19, 20, 21]);
    assert_eq!(rows[0].context, "Certificate subject");
    assert_eq!(rows[0].data, "CN=*.domain.com, OU=Enterprise SSL Wildcard, OU=Contoso IT, O=Contoso Corporation");
    assert_eq!(rows[5].context, "TLS negotiation failed with error UnknownCredentials");
    assert_eq!(rows[5].at, "2017-10-07T04:42:56.804Z".parse().ok());
    assert_eq!((rows[0].remote.as_str(), rows[0].kind), ("216.32.181.234:25", RowKind::Information));

    // A template: words stand where time and session were, and one row has lost a field.
    let log = read(&sample("msdocs_smtpsend_nocredentials_template.log"));
    assert_eq!(log.rows.len() as u64 + log.rows_skipped, 7);
    assert_eq!(log.rows.last().unwrap().context, "TLS negotiation failed with error NoCredentials");

    // Logs of other kinds are none of this, and are not taken for it.
    for name in ["msdocs_connectivity_service-not-active.log", "kinesis_msgtrk_2013_sanitised.log"] {
        let log = read(&sample(name));
        assert!(log.rows.is_empty() && log.rows_skipped > 0, "{name}: {:?}", log.rows.first());
    }
}

#[test]
fn an_unmatched_quote_hides_its_own_row_only() {
    let row = |number: u32, data: &str| format!("2019-03-21T13:01:06.525Z,a,08D6ADF43C7A1C11,{number},,,<,{data},\r\n");
    let file = header(LogType::Send, Timestamp::UNIX_EPOCH)
        + &row(0, "220 a")
        + &row(1, "\"250 b")
        + &row(2, "\"250 c, d\"")
        + &row(3, "250 e")
        + &row(4, "\"250 unmatched")
        + &header(LogType::Receive, Timestamp::UNIX_EPOCH)
        + &row(5, "250 f");
    let log = read(file.as_bytes());
    assert_eq!(log.rows.iter().map(|row| row.sequence).collect::<Vec<_>>(), [0, 2, 3, 5]);
    assert_eq!((log.rows_skipped, log.log_type), (2, Some(LogType::Receive)));
}

#[test]
fn a_row_beyond_all_measure_is_counted_and_the_next_is_read() {
    let row = |data: &str| format!("2019-03-21T13:01:06.525Z,a,08D6ADF43C7A1C11,0,,,<,{data},\n");
    let file = row("220 a") + &row(&"x".repeat(2 << 20)) + &row("220 b");
    let log = read(file.as_bytes());
    assert_eq!((log.rows.len(), log.rows_skipped), (2, 1));
}
