//! Runs one device until it is interrupted, for manual tests:
//!
//! ```text
//! cargo run --package gatepost-lab --example device rc4-only 127.0.0.1:2600
//! ```

use std::{error::Error, thread, time::Duration};

use gatepost_lab::{Device, Options, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let names = || Device::ALL.map(Device::name).join(", ");
    let name = arguments.next().ok_or_else(|| format!("usage: device NAME [ADDRESS:PORT]; names are: {}", names()))?;
    let device =
        Device::from_name(&name).ok_or_else(|| format!("unknown device \"{name}\"; devices are: {}", names()))?;
    let mut options = Options::default();
    if let Some(address) = arguments.next() {
        options.listen = address.parse()?;
    }
    let server = Server::start(device, options)?;
    println!("{name} on {}: {}", server.address(), device.does());
    let mut told = 0;
    loop {
        thread::sleep(Duration::from_millis(200));
        let log = server.log();
        log[told..].iter().for_each(|line| println!("{line}"));
        told = log.len();
    }
}
