//! This workspace keeps its own rules.

use std::path::Path;

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let faults = gatepost_tidy::check(&root, &gatepost_tidy::HOUSE).unwrap();
    let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(
        faults.is_empty(),
        "\n{}\n{} faults; crates/tidy/src/lib.rs says how the rules work",
        list.join("\n"),
        list.len()
    );
}
