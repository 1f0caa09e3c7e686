//! Changes as CSV, for people who keep the audit elsewhere.

use std::io::{self, Write};

use super::Change;
use crate::cell::guarded;

const COLUMNS: [&str; 6] = ["time", "who", "from", "node", "change", "what"];

/// Writes one line for each change, after a line of names if `is_first`. No cell is a formula.
pub fn write_csv(changes: &[Change], is_first: bool, out: impl Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    if is_first {
        csv.write_record(COLUMNS)?;
    }
    for Change { id: _, at, node, who, from, kind } in changes {
        let from = from.map(|from| from.to_string()).unwrap_or_default();
        let (at, what) = (format!("{at:.3}"), kind.to_string());
        let cells = [at.as_str(), who, &from, node.as_deref().unwrap_or_default(), kind.name(), &what];
        csv.write_record(cells.map(|cell| guarded(cell).into_owned()))?;
    }
    csv.flush()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::ChangeKind;

    #[test]
    fn no_cell_is_a_formula() {
        let change = |who: &str, from: Option<&str>| Change {
            id: Uuid::nil(),
            at: Timestamp::UNIX_EPOCH,
            node: None,
            who: who.to_owned(),
            from: from.map(|from| from.parse().unwrap()),
            kind: ChangeKind::read(r#"{"change":"logged-in"}"#).unwrap(),
        };
        let mut out = Vec::new();
        write_csv(&[change("=1+1,\"\u{202e}", Some("::1"))], true, &mut out).unwrap();
        write_csv(&[change("ana", None)], false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "time,who,from,node,change,what");
        assert!(lines[1].starts_with("1970-01-01T00:00:00.000Z,\"'=1+1,\"\"\u{fffd}\",::1,,logged-in,"), "{text}");
        assert!(lines[2].starts_with("1970-01-01T00:00:00.000Z,ana,,,logged-in,") && lines.len() == 3, "{text}");
    }
}
