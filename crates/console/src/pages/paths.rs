//! Foreign names in paths.

/// A name as one segment of a path. No name becomes `.` or `..`, which browsers resolve.
pub(super) fn segment(name: &str) -> String {
    match name {
        "." | ".." => name.replace('.', "%2E"),
        _ => form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        for (name, expected) in [
            ("mx1", "mx1"),
            ("a/b c", "a%2Fb%20c"),
            ("[2001:db8::1]:25", "%5B2001%3Adb8%3A%3A1%5D%3A25"),
            ("<script>", "%3Cscript%3E"),
            ("..", "%2E%2E"),
        ] {
            assert_eq!(segment(name), expected);
        }
    }
}
