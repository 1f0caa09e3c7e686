//! Does nothing. A crate needs a build script to have build dependencies, and through them openssl-src compiles in the
//! cipher suites that faulty devices use.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
