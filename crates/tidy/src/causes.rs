//! Causes of failure are the same in their files, in the catalogue and in the documents.

use std::collections::BTreeSet;

use crate::{
    fault::{Fault, Rule},
    markdown::Document,
    sources::{Part, Source},
    tokens::{self, Token},
};

const FOLDER: &str = "crates/diagnosis/src/causes/";
/// Its tables have one row for each cause, with the id first.
const DOCUMENT: &str = "docs/reference/causes.md";

pub(crate) fn check(sources: &[Source], documents: &[Document]) -> Vec<Fault> {
    let product = sources.iter().filter(|source| source.path.starts_with(FOLDER) && source.part == Part::Product);
    let (files, others): (Vec<&Source>, Vec<&Source>) = product.partition(|source| id(source).is_some());
    let listed: BTreeSet<&str> = others.iter().flat_map(|source| listed(source)).collect();
    let mut faults = Vec::new();
    for source in &files {
        let (name, id) = (file_name(source), id(source).unwrap_or_default());
        let mut wrong = |text: String| faults.push(Fault::new(Rule::Cause, &source.path, None, text));
        if id != name.replace('_', "-") {
            wrong(format!("has the id {id}; a cause has the id of its file's name, with - for _"));
        }
        if !listed.contains(name) {
            wrong(format!("is not in the catalogue; add `{name}::CAUSE` to the table in {FOLDER}mod.rs"));
        }
    }
    let ids: BTreeSet<String> = files.iter().filter_map(|source| id(source)).collect();
    faults.extend(differences(&ids, documents));
    faults
}

/// Rows of the document without a cause, and causes without a row.
fn differences(ids: &BTreeSet<String>, documents: &[Document]) -> Vec<Fault> {
    let text = documents.iter().find(|document| document.path == DOCUMENT).map_or("", |document| &document.text);
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rows: BTreeSet<String> = rows.map(|(id, _)| id.to_owned()).collect();
    let missing = ids.difference(&rows).map(|id| format!("has no row for the cause {id}"));
    let unknown = rows.difference(ids).map(|id| format!("has a row for {id}, which is not a cause"));
    missing.chain(unknown).map(|text| Fault::new(Rule::Cause, DOCUMENT, None, text)).collect()
}

fn file_name(source: &Source) -> &str {
    source.path.trim_start_matches(FOLDER).trim_end_matches(".rs")
}

/// What `id: CauseId::…` says in `const CAUSE`, in kebab-case.
fn id(source: &Source) -> Option<String> {
    let tokens = &source.product;
    let start =
        tokens.windows(2).position(|pair| (pair[0].word(), pair[1].word()) == (Some("const"), Some("CAUSE")))?;
    let path = &tokens[start..].windows(6).find(|window| window[0].word() == Some("id") && window[1].is(':'))?[2..];
    let is_id = path[0].word() == Some("CauseId") && path[1].is(':') && path[2].is(':');
    path[3].word().filter(|_| is_id).map(kebab)
}

/// `BannerTimeout` as `banner-timeout`.
fn kebab(name: &str) -> String {
    let mut id = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !id.is_empty() {
            id.push('-');
        }
        id.push(letter.to_ascii_lowercase());
    }
    id
}

/// Names of files in `name::CAUSE` of the catalogue.
fn listed(source: &Source) -> Vec<&str> {
    let tokens = &source.product;
    let is_table = |pair: &[Token]| pair[0].word() == Some("static") && pair[1].word() == Some("CATALOGUE");
    let Some(start) = tokens.windows(2).position(is_table) else { return Vec::new() };
    let paths = (start..tokens::end_of_item(tokens, start)).filter_map(|at| tokens::path(tokens, at));
    paths.filter(|path| path.len() > 1 && path.last() == Some(&"CAUSE")).map(|path| path[path.len() - 2]).collect()
}
