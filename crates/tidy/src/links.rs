//! Links of documents, and paths that they name, lead somewhere.

use std::path::{Component, Path, PathBuf};

use crate::{
    fault::{Fault, Rule},
    markdown::Document,
    sources,
};

/// A code span that begins so is a path from the root of the workspace.
const FOLDERS: [&str; 6] = ["crates/", "docs/", "dialogues/", "fuzz/", "samples/", "scripts/"];

/// Made by `./test fuzz`, outside git.
const MADE: [&str; 2] = ["fuzz/corpus", "fuzz/artifacts"];

pub(crate) fn check(root: &Path, documents: &[Document]) -> Vec<Fault> {
    let of_document = |document| links(root, document, documents).into_iter().chain(paths(root, document));
    documents.iter().flat_map(of_document).collect()
}

fn fault(document: &Document, line: usize, target: &str, text: &str) -> Fault {
    Fault::new(Rule::Link, format!("{}: {target}", document.path), line, text.to_owned())
}

fn links(root: &Path, document: &Document, documents: &[Document]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (line, target) in document.links() {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').map_or((target.as_str(), None), |(path, to)| (path, Some(to)));
        let file = match path {
            "" => PathBuf::from(&document.path),
            _ => normal(&Path::new(&document.path).with_file_name(path)),
        };
        if !root.join(&file).exists() {
            faults.push(fault(document, line, &target, "there is no such file"));
            continue;
        }
        let linked = documents.iter().find(|known| known.path == sources::relative(&file, root));
        let is_known = |anchor: &str| linked.is_none_or(|linked| linked.anchors().iter().any(|own| own == anchor));
        if anchor.is_some_and(|anchor| !is_known(anchor)) {
            faults.push(fault(document, line, &target, "the document has no heading with this anchor"));
        }
    }
    faults
}

/// Paths in code spans, from the root. Patterns and examples are passed over.
fn paths(root: &Path, document: &Document) -> Vec<Fault> {
    let spans = document.code().into_iter().filter(|(_, span)| {
        FOLDERS.iter().any(|folder| span.starts_with(folder))
            && !span.contains(['*', '{', '<', ' ', '…'])
            && !MADE.contains(span)
    });
    let is_placeholder =
        |span: &str| span.split('/').any(|part| part.chars().any(char::is_uppercase) && !part.contains('.'));
    let missing = spans.filter(|(_, span)| !is_placeholder(span) && !root.join(span).exists());
    missing.map(|(line, span)| fault(document, line, span, "there is no such file or folder")).collect()
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir => _ = normal.pop(),
            other => normal.push(other),
        }
        normal
    })
}
