//! The beginning of a syslog's line on its way between machines: its priority, and the fields of RFC 5424.

/// The fields of a line, without those that say nothing.
pub(crate) struct Structured<'a> {
    pub(crate) time: &'a str,
    pub(crate) host: Option<&'a str>,
    pub(crate) program: &'a str,
    pub(crate) process_id: Option<&'a str>,
    /// The program, and the id behind a space where it has one.
    pub(crate) process: &'a str,
    pub(crate) body: &'a str,
}

/// `<22>` stands before a line; `1 ` behind it means RFC 5424. What follows, and whether it is so.
pub(crate) fn priority(text: &str) -> Option<(bool, &str)> {
    let (number, rest) = text.strip_prefix('<')?.split_once('>')?;
    let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    let version = rest.strip_prefix("1 ");
    is_number.then_some((version.is_some(), version.unwrap_or(rest)))
}

/// `2026-11-25T07:00:00Z mx postfix/smtp 4 - - body`, as it stands behind the priority.
pub(crate) fn structured(text: &str) -> Option<Structured<'_>> {
    let mut fields = text.splitn(6, ' ');
    let mut field = || fields.next();
    let (time, host, program, id, _) = (field()?, field()?, field()?, field()?, field()?);
    let rest = field()?;
    let body = match rest.strip_prefix('-') {
        Some(body) => body,
        None => rest.rsplit_once("] ").filter(|_| rest.starts_with('['))?.1,
    };
    let is_there = |text: &&str| *text != "-";
    let process_id = Some(id).filter(is_there);
    let length = program.len() + process_id.map_or(0, |id| id.len() + 1);
    Some(Structured {
        time,
        host: Some(host).filter(is_there),
        program,
        process_id,
        process: text.get(time.len() + host.len() + 2..)?.get(..length)?,
        body: body.trim_start_matches([' ', '\u{feff}']),
    })
}
