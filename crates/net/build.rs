//! Does nothing. A crate without build script may not have build dependencies, and openssl-src takes its features from
//! there: old ciphers are compiled in, and stay off unless a TLS policy names them.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
