//! Crates import downwards only, keep out of what they must not see, and have no dependency that they do not use.

use std::{env, path::Path, process::Command};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::{
    fault::{Fault, Rule},
    house::House,
    sources::{Part, Source},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Normal,
    Development,
    Build,
}

#[derive(Debug)]
struct Dependency {
    /// Folder of the crate that depends.
    krate: String,
    /// A crate's folder for one of this workspace, a package's name for others.
    on: String,
    /// As code names it.
    name: String,
    kind: Kind,
    is_ours: bool,
}

impl Dependency {
    fn fault(&self, rule: Rule, text: String) -> Fault {
        Fault::new(rule, format!("{} -> {}", self.krate, self.on), None, text)
    }
}

pub(crate) fn check(root: &Path, sources: &[Source], house: &House) -> anyhow::Result<Vec<Fault>> {
    let dependencies = dependencies(root)?;
    let wrong = dependencies.iter().filter_map(|dependency| edge(dependency, house));
    let unused = dependencies.iter().filter_map(|dependency| unused(dependency, sources));
    Ok(strangers(&dependencies, house).into_iter().chain(wrong).chain(unused).collect())
}

/// Every edge that a crate of the workspace has, as Cargo reads it.
fn dependencies(root: &Path) -> anyhow::Result<Vec<Dependency>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output =
        Command::new(cargo).args(arguments).current_dir(root).output().context("failed to run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let mut dependencies = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let krate = folder(package["manifest_path"].as_str().map(|path| path.trim_end_matches("/Cargo.toml")));
        let of_package =
            package["dependencies"].as_array().into_iter().flatten().map(|value| dependency(&krate, value));
        dependencies.extend(of_package.filter(|dependency| dependency.on != krate));
    }
    Ok(dependencies)
}

fn dependency(krate: &str, value: &Value) -> Dependency {
    let package = value["name"].as_str().unwrap_or_default();
    let path = value["path"].as_str();
    Dependency {
        krate: krate.to_owned(),
        on: path.map_or_else(|| package.to_owned(), |path| folder(Some(path))),
        name: value["rename"].as_str().unwrap_or(package).replace('-', "_"),
        kind: match value["kind"].as_str() {
            Some("dev") => Kind::Development,
            Some("build") => Kind::Build,
            _ => Kind::Normal,
        },
        is_ours: path.is_some(),
    }
}

fn folder(path: Option<&str>) -> String {
    path.and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned()
}

/// Why this edge must not be.
fn edge(dependency: &Dependency, house: &House) -> Option<Fault> {
    let Dependency { krate, on, kind, is_ours, .. } = dependency;
    let layer = |name: &str| house.layers.iter().position(|layer| layer.contains(&name));
    let is_for_tests = *kind == Kind::Development;
    let is_aside = house.aside.iter().any(|(name, _)| name == krate);
    let text = if *is_ours && is_aside {
        Some(format!("{krate} imports no other crate of the workspace"))
    } else if let Some((_, users)) = house.aside.iter().find(|(name, _)| name == on) {
        (!is_for_tests && !users.contains(&krate.as_str()))
            .then(|| format!("{on} is for tests; make it a dev-dependency"))
    } else if *is_ours && layer(krate) >= layer(on) {
        Some(format!("imports point down only, and {on} is not below {krate}"))
    } else if is_for_tests {
        None
    } else if let Some((_, _, rule)) = house.apart.iter().find(|(a, b, _)| (a, b) == (&krate.as_str(), &on.as_str())) {
        Some((*rule).to_owned())
    } else {
        let confined = house.confined.iter().find(|(packages, _)| packages.contains(&on.as_str()));
        let outside = confined.filter(|(_, to)| !to.contains(&krate.as_str()));
        outside.map(|(_, to)| format!("only {} may depend on {on}", to.join(", ")))
    };
    text.map(|text| dependency.fault(Rule::Layer, text))
}

/// Crates that have no layer.
fn strangers(dependencies: &[Dependency], house: &House) -> Vec<Fault> {
    let known = |name: &str| {
        house.layers.iter().any(|layer| layer.contains(&name)) || house.aside.iter().any(|(aside, _)| *aside == name)
    };
    let text = "has no layer; give it one in crates/tidy/src/house.rs and in ARCHITECTURE.md";
    let mut faults: Vec<Fault> = dependencies
        .iter()
        .filter(|dependency| !known(&dependency.krate))
        .map(|dependency| Fault::new(Rule::Layer, &dependency.krate, None, text.to_owned()))
        .collect();
    faults.dedup();
    faults
}

/// No code names it where it could be used.
fn unused(dependency: &Dependency, sources: &[Source]) -> Option<Fault> {
    let may_use = |part: Part| match dependency.kind {
        Kind::Normal => part == Part::Product || part == Part::Tool,
        Kind::Development => part != Part::Build,
        Kind::Build => part == Part::Build,
    };
    let mut own = sources.iter().filter(|source| source.krate == dependency.krate && may_use(source.part));
    let is_used = own.any(|source| source.names(&dependency.name));
    let text =
        "no source of this crate names it; remove it from Cargo.toml (or from [dependencies], if only tests use it)";
    (!is_used).then(|| dependency.fault(Rule::UnusedDependency, text.to_owned()))
}
