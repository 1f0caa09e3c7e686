//! Does nothing. A crate without build script may not have build dependencies, and through those openssl-src is told to
//! compile in the ciphers that faulty devices speak.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
