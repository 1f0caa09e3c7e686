//! The columns of rows that several kinds of lines fill.

use super::record::host_and_address;
use crate::message_trace::{Column, CustomData, Row};

/// A row with its line, counted from 1.
pub(super) type Numbered = (u64, Row);

/// Host, address and port of a server, as far as there is one: `none`, `local` and a socket are no hosts.
pub(super) fn set_server(row: &mut Row, server: &str, mut data: CustomData) {
    let (host, address, port) = host_and_address(server);
    if let Some(address) = address {
        row.set(Column::ServerHostname, host);
        row.set(Column::ServerIp, address);
        data.add_port(port);
    }
    row.set(Column::CustomData, data);
}
