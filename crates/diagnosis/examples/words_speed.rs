//! Reads words of failures, made up, and prints what it took: `words_speed ROWS`.

use std::time::Instant;

use gatepost_diagnosis::{Evidence, sources::trace_rows};
use trace::{
    message_trace::{Column, Row},
    postfix_log,
};

const STATUSES: [&str; 4] = [
    "4.4.1 connect to mx{}.onprem.test[192.0.2.1]:25: Connection timed out",
    "4.2.0 host mx{}.onprem.test[192.0.2.1] said: 450 4.2.0 <user@onprem.test>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/onprem.test.html (in reply to RCPT TO command)",
    "5.1.1 host mx{}.onprem.test[192.0.2.1] said: 550 5.1.1 <user@onprem.test>: Recipient address rejected: User unknown in virtual mailbox table (in reply to RCPT TO command)",
    "4.4.2 lost connection with mx{}.onprem.test[192.0.2.1] while receiving the initial server greeting",
];

fn main() {
    let rows: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let began = Instant::now();
    let mut evidence = Evidence::default();
    for number in 0..rows {
        let mut row = Row::default();
        row.set(Column::EventId, "DEFER");
        row.set(Column::RecipientAddress, "user@onprem.test");
        row.set(Column::RecipientStatus, STATUSES[number % STATUSES.len()].replace("{}", &(number % 100).to_string()));
        trace_rows::add_row(&mut evidence, &postfix_log::FORMAT, &row, "mail.log", number as u64);
    }
    println!("{} rows, {:.2} µs each", evidence.len(), began.elapsed().as_secs_f64() * 1e6 / rows as f64);
}
