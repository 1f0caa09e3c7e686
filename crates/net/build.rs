//! Does nothing. A crate needs a build script to have build dependencies, and openssl-src gets its features from them:
//! old cipher suites are compiled in, and stay off unless a TLS policy names them.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
