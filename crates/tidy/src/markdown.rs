//! Documents: their prose, headings, links, and paths in code spans.

use std::{fs, path::Path};

use anyhow::Context;

use crate::sources;

#[derive(Debug)]
pub(crate) struct Document {
    /// From the workspace's root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Where documents are, beside the root itself.
const FOLDERS: [&str; 5] = ["crates", "docs", "fuzz", "samples", "scripts"];

/// All documents of the workspace in this folder. Others may lie in it that are not part of it.
pub(crate) fn read(root: &Path) -> anyhow::Result<Vec<Document>> {
    let mut paths = sources::entries(root)?;
    paths.retain(|path| path.is_file() && path.extension().is_some_and(|ending| ending == "md"));
    for folder in FOLDERS.map(|folder| root.join(folder)).iter().filter(|folder| folder.exists()) {
        sources::files(folder, "md", &mut paths)?;
    }
    let read = paths.iter().map(|path| {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Document { path: sources::relative(path, root), text })
    });
    read.collect()
}

impl Document {
    /// Numbered lines, code blocks left empty.
    fn lines(&self) -> Vec<(usize, &str)> {
        let mut is_fenced = false;
        let mut is_indented = false;
        let mut before_is_empty = true;
        let mut lines = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            let is_fence = line.trim_start().starts_with("```");
            is_indented = line.starts_with("    ") && (before_is_empty || is_indented);
            let is_code = is_fenced || is_fence || is_indented;
            is_fenced ^= is_fence;
            before_is_empty = line.trim().is_empty();
            lines.push((number + 1, if is_code { "" } else { line }));
        }
        lines
    }

    /// Paragraphs without code, each with the line where it begins.
    pub(crate) fn prose(&self) -> Vec<(usize, String)> {
        let mut paragraphs: Vec<(usize, String)> = Vec::new();
        let mut is_open = false;
        for (number, line) in self.lines() {
            match (line.trim(), is_open) {
                ("", _) => {}
                (line, true) => paragraphs.iter_mut().rev().take(1).for_each(|(_, text)| *text += &format!(" {line}")),
                (line, false) => paragraphs.push((number, line.to_owned())),
            }
            is_open = !line.trim().is_empty();
        }
        paragraphs.into_iter().map(|(number, text)| (number, without_code(&text))).collect()
    }

    /// Targets of links, each with its line.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.lines() {
            let line = without_code(line);
            let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
            let reference = line.strip_prefix('[').and_then(|rest| Some(rest.split_once("]: ")?.1));
            links.extend(inline.chain(reference).map(|target| (number, target.trim().to_owned())));
        }
        links
    }

    /// What stands in code spans, each with its line.
    pub(crate) fn code(&self) -> Vec<(usize, &str)> {
        let lines = self.lines().into_iter();
        lines.flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (number, span))).collect()
    }

    /// Anchors of headings, as GitHub makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for (_, line) in self.lines().into_iter().filter(|(_, line)| line.starts_with('#')) {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            let anchor = kept.collect::<String>().replace(' ', "-");
            let same = anchors.iter().filter(|known| **known == anchor).count();
            anchors.push(if same == 0 { anchor } else { format!("{anchor}-{same}") });
        }
        anchors
    }
}

/// Code spans are ids and commands, not prose.
pub(crate) fn without_code(text: &str) -> String {
    text.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { path: "a.md".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn prose_has_whole_paragraphs_and_no_code() {
        let prose = document("# A\n\none\ntwo `x y`\n\n    code\n\n```\ncode\n```\nthree").prose();
        assert_eq!(prose, [(1, "# A".to_owned()), (3, "one two `".to_owned()), (11, "three".to_owned())]);
    }

    #[test]
    fn links_and_anchors_are_found() {
        let read = document("## Is it *ready*? 50%\n[a](b.md#c) and `[x](y)`\n[d]: e.md\n## Is it ready? 50%");
        assert_eq!(read.links(), [(2, "b.md#c".to_owned()), (3, "e.md".to_owned())]);
        assert_eq!(read.anchors(), ["is-it-ready-50", "is-it-ready-50-1"]);
    }
}
