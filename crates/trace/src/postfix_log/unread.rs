//! Lines that were not understood, by program.

use std::collections::HashMap;

use super::line::{is_about_mail, other_program};

/// Foreign text must not fill the memory.
const PROGRAMS_MAX: usize = 100;
/// Lines without a program, and those of too many.
const OTHERS: &str = "";

#[derive(Default)]
pub(super) struct Unread(HashMap<Box<str>, u64>);

impl Unread {
    pub(super) fn count(&mut self, program: &str) {
        if let Some(count) = self.0.get_mut(program) {
            *count += 1;
            return;
        }
        let name = if self.0.len() < PROGRAMS_MAX { program } else { OTHERS };
        *self.0.entry(name.into()).or_default() += 1;
    }

    /// Counts a line that is not Postfix's, unless its program has nothing to do with mail.
    pub(super) fn count_other(&mut self, line: &str) {
        let program = other_program(line).unwrap_or(OTHERS);
        if is_about_mail(program) && !line.is_empty() {
            self.count(program);
        }
    }

    /// The most frequent first.
    pub(super) fn all(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = self.0.iter().map(|(name, count)| (name.to_string(), *count)).collect();
        all.sort_by(|(a, many), (b, few)| few.cmp(many).then_with(|| a.cmp(b)));
        all
    }
}
