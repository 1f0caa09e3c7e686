//! What a rule finds, and what is excepted from it.

use std::fmt;

/// The rules, by the names that faults and exceptions are listed under.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A crate imports what its layer must not see. Place: `crate -> dependency`.
    Layer,
    /// A dependency that no source of its crate names. Place: `crate -> dependency`.
    UnusedDependency,
    /// A file does not begin with a `//!` line. Place: the file.
    Header,
    /// A function is longer than 70 lines. Place: `file::function`.
    LongFunction,
    /// A file has more than 600 lines outside its tests. Place: the file.
    LongFile,
    /// Clock, randomness, files or output are used outside their places. Place: the file.
    Place,
    /// Files of a crate import each other in a circle. Place: `file -> file`, one edge of it.
    Circle,
    /// Causes of failure differ between files, catalogue and document. Place: the file or document.
    Cause,
    /// A phrase to avoid in what people read. Place: the file.
    Phrase,
    /// A link or path in a document leads nowhere. Place: `document: target`.
    Link,
    /// An exception that nothing needs any more, or that is named twice.
    Exception,
}

/// One breach of a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fault {
    pub rule: Rule,
    /// What an exception names it by.
    pub place: String,
    /// Line in the file, where there is one.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub text: String,
}

impl Fault {
    pub(crate) fn new(rule: Rule, place: impl Into<String>, line: impl Into<Option<usize>>, text: String) -> Self {
        Self { rule, place: place.into(), line: line.into(), text }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, place, line, text } = self;
        match line {
            Some(line) => write!(f, "{rule:?}  {place}  (line {line}): {text}"),
            None => write!(f, "{rule:?}  {place}: {text}"),
        }
    }
}

/// A breach that is allowed for now.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    pub rule: Rule,
    /// As in the fault. With a `/` at its end, all places below that folder.
    pub place: &'static str,
    pub reason: &'static str,
}

impl Exception {
    fn covers(&self, fault: &Fault) -> bool {
        let is_place = match self.place.ends_with('/') {
            true => fault.place.starts_with(self.place),
            false => fault.place == self.place,
        };
        self.rule == fault.rule && is_place
    }
}

/// What is left once exceptions are taken out, and the exceptions that cover nothing.
pub(crate) fn without_exceptions(faults: Vec<Fault>, exceptions: &[Exception]) -> Vec<Fault> {
    let mut needed = vec![false; exceptions.len()];
    let mut left: Vec<Fault> = Vec::new();
    for fault in faults {
        match exceptions.iter().position(|exception| exception.covers(&fault)) {
            Some(number) => needed[number] = true,
            None => left.push(fault),
        }
    }
    for (exception, _) in exceptions.iter().zip(needed).filter(|(_, needed)| !needed) {
        let text = format!("nothing breaks the rule {:?} here any more; remove this exception", exception.rule);
        left.push(Fault::new(Rule::Exception, exception.place, None, text));
    }
    left.sort();
    left.dedup();
    left
}
