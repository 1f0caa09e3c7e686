//! Files of one crate never import each other in a circle.
//!
//! A file imports another if its code names something that the other defines. Re-exports are followed to the
//! definition, so a `mod.rs` that only passes names on imports nothing. A file may use what a module above it defines
//! for the whole folder: `node/mod.rs` has the type `Node`, and the files below it work on a node. That is the shape
//! of a module, not a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    fault::{Exception, Fault, Rule},
    modules::{Module, Modules},
    sources::{self, Source},
    tokens,
};

/// Whom a file imports.
type Graph = BTreeMap<String, BTreeSet<String>>;

pub(crate) fn check(sources: &[Source], exceptions: &[Exception]) -> Vec<Fault> {
    let crates: BTreeSet<&str> = sources.iter().map(|source| source.krate.as_str()).collect();
    let mut faults = Vec::new();
    for krate in crates {
        let mut graph = imports(&Modules::of_crate(krate, sources));
        faults.extend(excepted(&mut graph, exceptions));
        while let Some(circle) = shortest_circle(&graph) {
            let (from, to) = weakest(&circle);
            faults.push(fault(&circle, from, to));
            remove(&mut graph, from, to);
        }
    }
    faults
}

/// Exceptions that are on a circle become faults, for these exceptions to cover, and their edges go.
fn excepted(graph: &mut Graph, exceptions: &[Exception]) -> Vec<Fault> {
    let edges = exceptions.iter().filter(|exception| exception.rule == Rule::Circle);
    let edges: Vec<(&str, &str)> = edges.filter_map(|exception| exception.place.split_once(" -> ")).collect();
    let mut faults = Vec::new();
    for (from, to) in &edges {
        let is_there = graph.get(*from).is_some_and(|targets| targets.contains(*to));
        if let Some(mut circle) = way(graph, to, from).filter(|_| is_there) {
            circle.insert(0, (*from).to_owned());
            faults.push(fault(&circle, from, to));
        }
    }
    edges.iter().for_each(|(from, to)| remove(graph, from, to));
    faults
}

fn remove(graph: &mut Graph, from: &str, to: &str) {
    if let Some(targets) = graph.get_mut(from) {
        targets.remove(to);
    }
}

fn fault(circle: &[String], from: &str, to: &str) -> Fault {
    let text = format!("circle {}; move what both need to a file below them", circle.join(" -> "));
    Fault::new(Rule::Circle, format!("{from} -> {to}"), None, text)
}

fn imports(modules: &Modules) -> Graph {
    let mut graph = Graph::new();
    for (way, module) in &modules.0 {
        let targets = [from_uses(modules, way, module), from_paths(modules, way, module)].concat();
        let others = targets.into_iter().filter(|target| !is_above(target, &module.file));
        graph.entry(module.file.clone()).or_default().extend(others);
    }
    graph
}

/// Is this the file itself, or the file of a module above it?
fn is_above(file: &str, below: &str) -> bool {
    file == below || below.starts_with(&sources::children_folder(file))
}

fn from_uses(modules: &Modules, way: &[String], module: &Module) -> Vec<String> {
    let mut targets = Vec::new();
    for used in &module.uses {
        let Some(path) = modules.absolute(way, &used.path) else { continue };
        match &used.name {
            Some(name) if used.is_public && !module.says(name) => {}
            Some(_) => targets.extend(modules.file(&path).map(str::to_owned)),
            None if used.is_public => {}
            None => {
                let words: BTreeSet<&str> = module.tokens.iter().filter_map(tokens::Token::word).collect();
                let known = words.into_iter().filter(|word| modules.knows(&path, word, 2));
                let paths = known.map(|word| [path.clone(), vec![word.to_owned()]].concat());
                targets.extend(paths.filter_map(|path| modules.file(&path).map(str::to_owned)));
            }
        }
    }
    targets
}

fn from_paths(modules: &Modules, way: &[String], module: &Module) -> Vec<String> {
    let paths = (0..module.tokens.len()).filter_map(|at| tokens::path(&module.tokens, at));
    let paths = paths.filter(|path| path.len() > 1).filter_map(|path| modules.absolute(way, &path));
    paths.filter_map(|path| modules.file(&path).map(str::to_owned)).collect()
}

/// The shortest of all circles, its first file again at the end.
fn shortest_circle(graph: &Graph) -> Option<Vec<String>> {
    let circles = graph.iter().flat_map(|(from, targets)| {
        targets.iter().filter_map(|to| {
            let mut circle = way(graph, to, from)?;
            circle.insert(0, from.clone());
            Some(circle)
        })
    });
    circles.min_by_key(Vec::len)
}

/// The shortest way from one file to another, both included.
fn way(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(file) = next.pop_front() {
        if file == to {
            let mut way = vec![to.to_owned()];
            let mut at = to;
            while at != from {
                at = before[at];
                way.insert(0, at.to_owned());
            }
            return Some(way);
        }
        for target in graph.get(file).into_iter().flatten() {
            if target != from && !before.contains_key(target.as_str()) {
                before.insert(target, file);
                next.push_back(target);
            }
        }
    }
    None
}

/// The edge to open first: one that leads up, from a file to one that is nearer to the root.
fn weakest(circle: &[String]) -> (&str, &str) {
    let depth = |file: &str| file.trim_end_matches("/mod.rs").matches('/').count();
    let edges = circle.windows(2).map(|edge| (edge[0].as_str(), edge[1].as_str()));
    edges.max_by_key(|(from, to)| (depth(from) + 100).saturating_sub(depth(to))).unwrap_or_default()
}
