//! Message traces as files: what is written reads back, and foreign ones are read as far as they go.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

mod samples;

use gatepost_trace::foreign::Rows as _;
use gatepost_trace::message_trace::{
    Column, Encoding, EventWriter, Layout, Reader, Row, RowsSkipped, Status, Summary, SummaryWriter,
};
use jiff::Timestamp;
use proptest::prelude::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn read(bytes: &[u8]) -> (Vec<Row>, RowsSkipped) {
    let mut reader = Reader::new(bytes).unwrap();
    let rows = reader.by_ref().map(Result::unwrap).collect();
    (rows, reader.skipped())
}

fn write(rows: &[Row], layout: Layout, encoding: Encoding) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = EventWriter::new(&mut bytes, layout, encoding, at("2026-11-25T08:00:00Z")).unwrap();
    rows.iter().for_each(|row| writer.write(row).unwrap());
    writer.flush().unwrap();
    drop(writer);
    bytes
}

#[test]
fn the_extended_report_has_exchange_onlines_columns() {
    let text = String::from_utf8(write(&[], Layout::ExtendedReport, Encoding::Utf8)).unwrap();
    assert_eq!(
        text,
        "date_time_utc,client_ip,client_hostname,server_ip,server_hostname,source_context,connector_id,source,event_id,\
         internal_message_id,message_id,network_message_id,recipient_address,recipient_status,total_bytes,\
         recipient_count,related_recipient_address,reference,message_subject,sender_address,return_path,message_info,\
         directionality,tenant_id,original_client_ip,original_server_ip,custom_data\r\n"
    );
}

#[test]
fn the_tracking_log_has_thirty_fields() {
    let text = String::from_utf8(write(&[], Layout::TrackingLog, Encoding::Utf8)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[2..4], ["#Log-type: Message Tracking Log", "#Date: 2026-11-25T08:00:00.000Z"]);
    assert!(lines[4].starts_with("#Fields: date-time,client-ip,client-hostname,server-ip,"), "{}", lines[4]);
    assert!(lines[4].ends_with(",custom-data,transport-traffic-type,log-id,schema-version"), "{}", lines[4]);
    assert_eq!(lines[4].split(',').count(), 30);
}

#[test]
fn the_summary_is_one_row_for_each_message() {
    let summary = Summary {
        received: at("2026-11-25T08:10:00.1239Z"),
        sender: "alice@partner.test".to_owned(),
        recipients: vec![("a@x.test".to_owned(), "Receive, Send"), ("b@x.test".to_owned(), "Receive, Fail")],
        subject: "He said \"hello\", twice".to_owned(),
        size_bytes: 4711,
        message_id: "<1@partner.test>".to_owned(),
        network_message_id: "01a212c3-5040-74c3-96da-d47bdb727c29".to_owned(),
        client_ip: "192.0.2.1".to_owned(),
        connector: "onprem".to_owned(),
    };
    let mut bytes = Vec::new();
    let mut writer = SummaryWriter::new(&mut bytes, Encoding::Utf16Le).unwrap();
    writer.write(&summary).unwrap();
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(bytes[..4], [0xff, 0xfe, b'o', 0]);
    let units: Vec<u16> = bytes[2..].chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    assert_eq!(
        String::from_utf16(&units).unwrap(),
        "origin_timestamp_utc,sender_address,recipient_status,message_subject,total_bytes,message_id,\
         network_message_id,original_client_ip,directionality,connector_id,delivery_priority\r\n\
         2026-11-25T08:10:00.123Z,alice@partner.test,\"a@x.test##Receive, Send;b@x.test##Receive, Fail\",\
         \"He said \"\"hello\"\", twice\",4711,<1@partner.test>,01a212c3-5040-74c3-96da-d47bdb727c29,192.0.2.1,1,onprem,\
         Normal\r\n"
    );
}

#[test]
fn columns_are_found_by_name_in_any_order_and_encoding() {
    let text = "event_id,message_id,unheard_of,DATE_TIME_UTC,recipient_status\r\n\
        Receive,<1@x>,?,2026-11-25T08:10:00.5Z,\"two\r\nlines, and a comma\"\r\n\
        ,<2@x>,?,2026-11-25T08:10:00Z,no event\r\n\
        DEFER,<3@x>,?,2026-11-25 08:09,\"[{LRT=};{LED=451 4.7.1 later}";
    let units = |mark: &str| format!("{mark}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for bytes in [text.as_bytes().to_vec(), format!("\u{feff}{text}").into_bytes(), units(""), units("\u{feff}")] {
        let (rows, skipped) = read(&bytes);
        assert_eq!((rows.len(), skipped), (2, RowsSkipped(1)), "{rows:?}");
        assert_eq!((rows[0].at, &rows[0][Column::EventId]), (Some(at("2026-11-25T08:10:00.5Z")), "Receive"));
        assert_eq!(&rows[0][Column::RecipientStatus], "two\r\nlines, and a comma");
        // Cut within a quoted field, and without a zone.
        assert_eq!((rows[1].at, &rows[1][Column::MessageId]), (Some(at("2026-11-25T08:09:00Z")), "<3@x>"));
        assert_eq!(&rows[1][Column::RecipientStatus], "[{LRT=};{LED=451 4.7.1 later}");
    }
}

/// As `Get-MessageTraceV2 | Export-Csv` writes it.
#[test]
fn a_list_of_messages_has_its_status_for_an_event() {
    let text = "\"PSComputerName\",\"MessageTraceId\",\"MessageId\",\"Received\",\"SenderAddress\",\"RecipientAddress\",\
        \"FromIP\",\"ToIP\",\"Subject\",\"Status\",\"Size\"\r\n\
        \"x\",\"01a2\",\"<1@x>\",\"2026-11-25T08:10:00\",\"a@x\",\"b@x\",\"192.0.2.1\",,\"Hello, you\",\"FilteredAsSpam\",\"4711\"\r\n";
    let (rows, skipped) = read(text.as_bytes());
    assert_eq!((rows.len(), skipped), (1, RowsSkipped(0)));
    let row = &rows[0];
    assert_eq!(row.at, Some(at("2026-11-25T08:10:00Z")));
    assert_eq!(Status::after_event(&row[Column::EventId]), Some(Status::FilteredAsSpam));
    assert_eq!([&row[Column::NetworkMessageId], &row[Column::MessageSubject]], ["01a2", "Hello, you"]);
    assert_eq!([&row[Column::OriginalClientIp], &row[Column::TotalBytes]], ["192.0.2.1", "4711"]);
}

#[test]
fn what_is_no_trace_is_refused() {
    for text in ["", "a,b,c\r\n1,2,3\r\n", "#Software: x\r\n#Fields: a,b\r\n", "date_time_utc\r\n"] {
        let error = Reader::new(text.as_bytes()).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{text}");
        assert!(error.to_string().starts_with("not an Exchange message trace"), "{error}");
    }
}

/// A log of Exchange 2013, with 27 fields, as others have published it.
#[test]
fn corpus_a_published_tracking_log_is_read() {
    let (rows, skipped) = read(&samples::read("exchange-logs/kinesis_msgtrk_2013_sanitised.log"));
    assert!(!rows.is_empty());
    assert_eq!(skipped, RowsSkipped(0));
    for row in &rows {
        assert!(row.at.is_some() && !row[Column::Source].is_empty(), "{row:?}");
    }
    assert!(rows.iter().any(|row| row[Column::SenderAddress].contains('@')), "{rows:#?}");
}

fn any_row() -> impl Strategy<Value = Row> {
    const COLUMNS: [Column; 6] = [
        Column::SourceContext,
        Column::RecipientStatus,
        Column::MessageSubject,
        Column::CustomData,
        Column::SenderAddress,
        Column::ClientIp,
    ];
    let texts = prop::collection::vec("[ -~é日😀\"',;#]{0,30}|'*[=@+-][ -~]{0,5}", COLUMNS.len());
    (0i64..4_000_000_000_000, texts).prop_map(|(milliseconds, texts)| {
        let mut row = Row::default();
        row.at = Timestamp::from_millisecond(milliseconds).ok();
        row.set(Column::EventId, "SEND");
        COLUMNS.into_iter().zip(texts).for_each(|(column, text)| row.set(column, text));
        row
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(rows in prop::collection::vec(any_row(), 0..6), utf16: bool, log: bool) {
        let encoding = if utf16 { Encoding::Utf16Le } else { Encoding::Utf8 };
        let layout = if log { Layout::TrackingLog } else { Layout::ExtendedReport };
        prop_assert_eq!(read(&write(&rows, layout, encoding)), (rows, RowsSkipped(0)));
    }

    #[test]
    fn foreign_bytes_never_panic(head in "(#Fields: date-time|date_time_utc),event_id,source,a\r\n", rest: Vec<u8>) {
        let bytes = [head.as_bytes(), &rest].concat();
        if let Ok(reader) = Reader::new(bytes.as_slice()) {
            reader.for_each(drop);
        }
    }
}

#[test]
fn rows_know_their_lines() {
    let rows = [Row::default(), Row::default(), Row::default()].map(|mut row| {
        row.set(Column::EventId, "DEFER");
        row
    });
    for (layout, first) in [(Layout::ExtendedReport, 2), (Layout::TrackingLog, 6)] {
        let bytes = write(&rows, layout, Encoding::Utf8);
        let unix = String::from_utf8(bytes.clone()).unwrap().replace("\r\n", "\n");
        for file in [bytes.as_slice(), unix.as_bytes()] {
            let mut reader = Reader::new(file).unwrap();
            let lines: Vec<u64> = std::iter::from_fn(|| reader.next().map(|_| reader.line())).collect();
            assert_eq!(lines, [first, first + 1, first + 2], "{layout:?}");
        }
    }
}

/// Of 20 rows one has a quote that nothing closes.
#[test]
fn an_unmatched_quote_hides_its_own_row_only() {
    let head = "date_time_utc,event_id,message_id,message_subject,recipient_address\r\n";
    let list = "\"Received\",\"Status\",\"MessageId\",\"Subject\",\"RecipientAddress\"\n";
    for (head, time) in [(head, "2026-11-25T08:10:00.000Z"), (list, "11/25/2026 8:10:00 AM")] {
        let row = |number: u32| match number {
            4 => format!("{time},Failed,<4@x>,\"Re: an unmatched quote,a@x\r\n"),
            // Two in one row are no matter.
            9 => format!("{time},Failed,<9@x>,\"in \"\"quotes\"\", and\r\ntwo lines\",a@x\r\n"),
            number => format!("{time},Failed,<{number}@x>,subject {number},\"a@x;b@x\"\r\n"),
        };
        let file = head.to_owned() + &(0..20).map(row).collect::<String>();
        let (rows, skipped) = read(file.as_bytes());
        assert_eq!((rows.len(), skipped), (19, RowsSkipped(1)), "{time}");
        let ids: Vec<_> = rows.iter().map(|row| row[Column::MessageId].to_owned()).collect();
        assert_eq!(ids[3..6], ["<3@x>", "<5@x>", "<6@x>"]);
        assert_eq!(&rows[8][Column::MessageSubject], "in \"quotes\", and\r\ntwo lines");
        // Lines are counted on.
        let mut reader = Reader::new(file.as_bytes()).unwrap();
        let lines: Vec<u64> = std::iter::from_fn(|| reader.next().map(|_| reader.line())).collect();
        assert_eq!(lines[3..10], [5, 7, 8, 9, 10, 11, 13]);
    }
}

/// A quote in the last row before another file's header.
#[test]
fn a_header_ends_a_quote_that_nothing_closes() {
    let file = "#Fields: date-time,event-id,message-id,source\n2026-11-25T08:10:00Z,SEND,<1@x>,\"SMTP\n\
        #Software: x\n#Fields: event-id,date-time,message-id,source\nSEND,2026-11-25T08:10:00Z,<2@x>,SMTP\n";
    let (rows, skipped) = read(file.as_bytes());
    assert_eq!((rows.len(), skipped), (1, RowsSkipped(1)));
    assert_eq!(&rows[0][Column::MessageId], "<2@x>");
}

#[test]
fn a_row_beyond_all_measure_is_counted_and_the_next_is_read() {
    let row = |number: u32, subject: &str| format!("2026-11-25T08:10:00Z,SEND,<{number}@x>,SMTP,{subject}\n");
    let head = "#Fields: date-time,event-id,message-id,source,message-subject\n".to_owned();
    let long = "x".repeat(2 << 20);
    let lines = "x\n".repeat(1 << 20);
    for subject in [long.clone(), format!("\"{long}\""), format!("\"{lines}\"")] {
        let file = head.clone() + &row(1, "a") + &row(2, &subject) + &row(3, "b");
        let (rows, RowsSkipped(skipped)) = read(file.as_bytes());
        assert_eq!(rows.len(), 2);
        assert!(skipped >= 1);
        assert_eq!(&rows[1][Column::MessageId], "<3@x>");
    }
}

/// Such as /dev/zero, in whatever encoding it is taken for.
#[test]
fn a_file_without_an_end_is_given_up() {
    for byte in [0, b'x', b'"', b','] {
        let error = Reader::new(std::io::repeat(byte)).err().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    }
}

#[test]
fn written_rows_are_lines_that_steer_no_terminal_and_compute_nothing() {
    let mut row = Row::default();
    row.set(Column::EventId, "SEND");
    row.set(Column::MessageSubject, "=HYPERLINK(\"http://x\")");
    row.set(Column::RecipientStatus, "250 \u{1b}[2J\u{9b}2J\r\nok\u{202e}");
    let bytes = write(&[row], Layout::ExtendedReport, Encoding::Utf8);
    let text = String::from_utf8(bytes.clone()).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(",\"'=HYPERLINK("), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{text}");
    let (rows, _) = read(&bytes);
    assert_eq!(&rows[0][Column::MessageSubject], "=HYPERLINK(\"http://x\")");
    assert_eq!(&rows[0][Column::RecipientStatus], "250 \u{fffd}[2J\u{fffd}2J  ok\u{fffd}");
}
