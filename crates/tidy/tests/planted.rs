//! Every rule finds what is planted for it, and nothing else, in a small house in a temporary folder.

#![allow(clippy::unwrap_used, reason = "a test's helper fails the test")]

use std::{fs, path::Path};

use gatepost_tidy::{Exception, Fault, HOUSE, House, Rule, check};
use tempfile::TempDir;

/// The rules of this house, without what is excepted in it.
const STRICT: House = House { exceptions: &[], ..HOUSE };

/// A workspace of two crates, `trace` above `protocol`, that keeps every rule.
struct Workspace(TempDir);

impl Workspace {
    fn new() -> Self {
        let own = Self(TempDir::new().unwrap());
        own.plant("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n");
        own.plant_crate("protocol", "");
        own.plant_crate("trace", "gatepost-protocol = { path = \"../protocol\" }");
        own.plant("crates/protocol/src/lib.rs", "//! Facts.\npub struct Fact;\n");
        own.plant("crates/trace/src/lib.rs", "//! Events.\npub use gatepost_protocol::Fact;\n");
        own.plant("README.md", "# A house\n\nRead [how](README.md#a-house), and `crates/trace/src/lib.rs`.\n");
        own
    }

    fn plant_crate(&self, name: &str, dependencies: &str) {
        let manifest = format!(
            "[package]\nname = \"gatepost-{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[dependencies]\n{dependencies}\n"
        );
        self.plant(&format!("crates/{name}/Cargo.toml"), &manifest);
    }

    fn plant(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn faults(&self) -> Vec<Fault> {
        check(self.root(), &STRICT).unwrap()
    }

    /// There is one fault: of this rule, at this place.
    #[track_caller]
    fn has_one(&self, rule: Rule, place: &str) {
        let faults = self.faults();
        let found: Vec<_> = faults.iter().map(|fault| (fault.rule, fault.place.as_str())).collect();
        assert_eq!(found, [(rule, place)], "{faults:#?}");
    }
}

#[test]
fn a_tidy_house_has_no_faults() {
    assert_eq!(Workspace::new().faults(), []);
}

#[test]
fn an_import_of_a_crate_above_is_found() {
    let house = Workspace::new();
    house.plant_crate("trace", "");
    house.plant("crates/trace/src/lib.rs", "//! Events.\n");
    house.plant_crate("protocol", "gatepost-trace = { path = \"../trace\" }");
    house.plant("crates/protocol/src/lib.rs", "//! Facts.\npub use gatepost_trace::Event;\n");
    house.has_one(Rule::Layer, "protocol -> trace");
}

#[test]
fn an_import_of_a_crate_on_the_same_line_is_found() {
    let house = Workspace::new();
    house.plant_crate("capture", "gatepost-trace = { path = \"../trace\" }");
    house.plant("crates/capture/src/lib.rs", "//! Packets.\npub use gatepost_trace::Fact;\n");
    house.has_one(Rule::Layer, "capture -> trace");
}

#[test]
fn a_pair_of_crates_that_keep_apart_is_found() {
    let house = Workspace::new();
    house.plant_crate("net", "gatepost-trace = { path = \"../trace\" }");
    house.plant("crates/net/src/lib.rs", "//! Sockets.\npub use gatepost_trace::Fact;\n");
    house.has_one(Rule::Layer, "net -> trace");
}

#[test]
fn a_package_outside_its_crates_is_found() {
    let house = Workspace::new();
    house.plant_crate("trace", "gatepost-protocol = { path = \"../protocol\" }\nrusqlite = \"0\"\ntokio = \"1\"");
    house.plant(
        "crates/trace/src/lib.rs",
        "//! Events.\npub use {gatepost_protocol::Fact, rusqlite::Row, tokio::spawn};\n",
    );
    let places: Vec<_> = house.faults().into_iter().map(|fault| (fault.rule, fault.place)).collect();
    assert_eq!(places, [(Rule::Layer, "trace -> rusqlite".into()), (Rule::Layer, "trace -> tokio".into())]);
}

#[test]
fn web_and_command_line_below_their_crates_are_found() {
    for (krate, package) in
        [("node", "clap"), ("node", "axum"), ("node", "maud"), ("insight", "clap"), ("insight", "axum")]
    {
        let house = Workspace::new();
        house.plant_crate(krate, &format!("{package} = \"1\""));
        house.plant(&format!("crates/{krate}/src/lib.rs"), &format!("//! It.\npub use {package}::it;\n"));
        house.has_one(Rule::Layer, &format!("{krate} -> {package}"));
    }
}

#[test]
fn the_lab_in_the_product_is_found_and_in_tests_it_is_not() {
    let house = Workspace::new();
    house.plant_crate("lab", "");
    house.plant("crates/lab/src/lib.rs", "//! Devices.\n");
    house.plant_crate("net", "[dev-dependencies]\ngatepost-lab = { path = \"../lab\" }");
    house.plant("crates/net/src/lib.rs", "//! Sockets.\n#[cfg(test)]\nuse gatepost_lab::Device;\n");
    assert_eq!(house.faults(), []);
    house.plant_crate("net", "gatepost-lab = { path = \"../lab\" }");
    house.has_one(Rule::Layer, "net -> lab");
}

#[test]
fn an_import_by_the_lab_is_found() {
    let house = Workspace::new();
    house.plant_crate("lab", "gatepost-protocol = { path = \"../protocol\" }");
    house.plant("crates/lab/src/lib.rs", "//! Devices.\npub use gatepost_protocol::Fact;\n");
    house.has_one(Rule::Layer, "lab -> protocol");
}

#[test]
fn a_crate_without_a_layer_is_found() {
    let house = Workspace::new();
    house.plant_crate("cellar", "gatepost-protocol = { path = \"../protocol\" }");
    house.plant("crates/cellar/src/lib.rs", "//! Wine.\npub use gatepost_protocol::Fact;\n");
    assert!(house.faults().iter().any(|fault| (fault.rule, fault.place.as_str()) == (Rule::Layer, "cellar")));
}

#[test]
fn a_dependency_that_only_a_comment_names_is_found() {
    let house = Workspace::new();
    house.plant_crate("protocol", "left-pad = \"1\"");
    house.plant("crates/protocol/src/lib.rs", "//! Facts, without left_pad.\npub struct Fact;\n");
    house.has_one(Rule::UnusedDependency, "protocol -> left-pad");
}

#[test]
fn a_file_without_a_header_is_found() {
    let house = Workspace::new();
    house.plant("crates/protocol/tests/it.rs", "// Not what the file is for.\n");
    house.has_one(Rule::Header, "crates/protocol/tests/it.rs");
}

#[test]
fn a_function_over_seventy_lines_is_found() {
    let house = Workspace::new();
    let function = |name: &str, lines: usize| format!("fn {name}() {{\n{}}}\n", "    f();\n".repeat(lines - 2));
    house.plant("crates/protocol/src/long.rs", &format!("//! Long.\n{}{}", function("fits", 70), function("long", 71)));
    house.has_one(Rule::LongFunction, "crates/protocol/src/long.rs::long");
}

#[test]
fn a_file_over_six_hundred_lines_is_found_but_for_its_tests() {
    let house = Workspace::new();
    let lines = "const A: u8 = 0;\n".repeat(599);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{lines}}}\n");
    house.plant("crates/protocol/src/long.rs", &format!("//! Long.\n{lines}{tests}"));
    assert_eq!(house.faults(), []);
    house.plant("crates/protocol/src/long.rs", &format!("//! Long.\n{lines}const B: u8 = 0;\n{tests}"));
    house.has_one(Rule::LongFile, "crates/protocol/src/long.rs");
    house.plant("crates/protocol/src/lib.rs", "//! Facts.\npub struct Fact;\n#[cfg(test)]\nmod long;\n");
    assert_eq!(house.faults(), [], "a module of tests");
}

#[test]
fn clock_randomness_files_sockets_and_output_are_found_outside_their_places() {
    let uses = [
        ("protocol", "fn f() { let _ = std::time::Instant::now(); }"),
        ("protocol", "fn f() { log!(\"{}\", SystemTime::now()); }"),
        ("protocol", "fn f() -> Timestamp { when.unwrap_or_else(Timestamp::now) }"),
        ("trace", "fn f() { let _ = Uuid::now_v7(); }"),
        ("trace", "use std::net::{IpAddr, TcpStream};"),
        ("protocol", "use std::{fs, io};"),
        ("protocol", "fn f() { println!(\"here\"); }"),
    ];
    for (krate, code) in uses {
        let house = Workspace::new();
        let path = format!("crates/{krate}/src/planted.rs");
        house.plant(&path, &format!("//! Planted.\n#[cfg(test)]\nmod tests {{\n{code}\n}}\n"));
        assert_eq!(house.faults(), [], "tests may");
        house.plant(&path, &format!("//! Planted.\n{code}\n"));
        let faults = house.faults();
        assert!(!faults.is_empty(), "{code}");
        assert!(faults.iter().all(|fault| (fault.rule, &fault.place) == (Rule::Place, &path)), "{faults:#?}");
    }
}

#[test]
fn a_circle_through_a_re_export_is_found() {
    let house = Workspace::new();
    house.plant("crates/protocol/src/lib.rs", "//! Facts.\nmod a;\nmod b;\npub use a::Fact;\n");
    house.plant("crates/protocol/src/a.rs", "//! A.\nuse crate::b;\npub struct Fact(b::Part);\npub struct Whole;\n");
    house.plant("crates/protocol/src/b.rs", "//! B.\npub struct Part;\n");
    assert_eq!(house.faults(), []);
    house.plant("crates/protocol/src/b.rs", "//! B.\npub struct Part;\nfn f(_: &crate::Fact) {}\n");
    house.has_one(Rule::Circle, "crates/protocol/src/b.rs -> crates/protocol/src/a.rs");
    house.plant("crates/protocol/src/b.rs", "//! B.\nuse super::*;\npub struct Part;\nfn f(_: &Fact) {}\n");
    house.has_one(Rule::Circle, "crates/protocol/src/b.rs -> crates/protocol/src/a.rs");
}

#[test]
fn a_circle_over_three_files_is_reported_whole() {
    let house = Workspace::new();
    house.plant("crates/protocol/src/lib.rs", "//! Facts.\nmod a;\nmod b;\nmod c;\npub struct Fact;\n");
    for (file, next) in [("a", "b"), ("b", "c"), ("c", "a")] {
        let text =
            format!("//! It.\nuse crate::{{Fact, {next}::{{self as next}}}};\npub fn f(_: Fact) {{ next::f(Fact) }}\n");
        house.plant(&format!("crates/protocol/src/{file}.rs"), &text);
    }
    let faults = house.faults();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert!(["a.rs", "b.rs", "c.rs"].iter().all(|file| faults[0].text.contains(file)), "{}", faults[0]);
}

#[test]
fn causes_that_differ_are_found() {
    let house = Workspace::new();
    let folder = "crates/diagnosis/src/causes";
    house.plant_crate("diagnosis", "gatepost-trace = { path = \"../trace\" }");
    house.plant("crates/diagnosis/src/lib.rs", "//! Findings.\nmod causes;\npub use gatepost_trace::Fact;\n");
    let table = "//! All.\nmod bad_luck;\npub static CATALOGUE: [Cause; 1] = [bad_luck::CAUSE];\n";
    let cause = "//! Luck.\npub const CAUSE: Cause = Cause { id: CauseId::BadLuck };\n";
    let document = "# Causes\n\n| cause | what |\n|---|---|\n| `bad-luck` | Luck. |\n";
    let plant = |table: &str, cause: &str, document: &str| {
        house.plant(&format!("{folder}/mod.rs"), table);
        house.plant(&format!("{folder}/bad_luck.rs"), cause);
        house.plant("docs/reference/causes.md", document);
    };
    plant(table, cause, document);
    assert_eq!(house.faults(), []);
    plant("//! All.\npub static CATALOGUE: [Cause; 0] = [];\n", cause, document);
    house.has_one(Rule::Cause, &format!("{folder}/bad_luck.rs"));
    plant(table, &cause.replace("BadLuck", "Luck"), &document.replace("bad-luck", "luck"));
    house.has_one(Rule::Cause, &format!("{folder}/bad_luck.rs"));
    plant(table, cause, "# Causes\n");
    house.has_one(Rule::Cause, "docs/reference/causes.md");
    plant(table, cause, &format!("{document}| `good-luck` | Luck. |\n"));
    house.has_one(Rule::Cause, "docs/reference/causes.md");
}

#[test]
fn phrases_to_avoid_are_found_in_texts_documentation_and_documents() {
    for code in ["const A: &str = \"sent in the clear\";", "/// Sent in\n/// the clear.\nconst A: u8 = 0;"] {
        let house = Workspace::new();
        house.plant("crates/protocol/src/planted.rs", &format!("//! Planted.\n{code}\n"));
        house.has_one(Rule::Phrase, "crates/protocol/src/planted.rs");
    }
    let house = Workspace::new();
    house.plant("docs/a.md", "# A\n\nThe id `at-the-most` stays; at\nthe most.\n");
    house.has_one(Rule::Phrase, "docs/a.md");
}

#[test]
fn links_and_paths_that_lead_nowhere_are_found() {
    let nowhere = [
        ("[a](b.md)", "docs/a.md: b.md"),
        ("[a](../README.md#cellar)", "docs/a.md: ../README.md#cellar"),
        ("[a](#cellar)", "docs/a.md: #cellar"),
        ("look in `crates/trace/src/cellar.rs`", "docs/a.md: crates/trace/src/cellar.rs"),
    ];
    for (text, place) in nowhere {
        let house = Workspace::new();
        house
            .plant("docs/a.md", &format!("# A\n\n{text}, and [not this](../README.md#a-house) or `crates/NAME/src`\n"));
        house.has_one(Rule::Link, place);
    }
}

#[test]
fn an_exception_covers_its_fault_and_is_itself_a_fault_once_nothing_needs_it() {
    const EXCEPTIONS: &[Exception] =
        &[Exception { rule: Rule::Header, place: "crates/protocol/src/bare.rs", reason: "a test" }];
    let house = House { exceptions: EXCEPTIONS, ..STRICT };
    let workspace = Workspace::new();
    workspace.plant("crates/protocol/src/bare.rs", "struct Bare;\n");
    assert_eq!(check(workspace.root(), &house).unwrap(), []);
    workspace.plant("crates/protocol/src/bare.rs", "//! Covered.\nstruct Bare;\n");
    let faults = check(workspace.root(), &house).unwrap();
    assert_eq!(faults.iter().map(|fault| fault.rule).collect::<Vec<_>>(), [Rule::Exception]);
}
