//! How many connections a client has open to a server, as far as the capture has their beginning.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{IpAddr, SocketAddr},
};

use foldhash::fast::RandomState;

use crate::tcp::flow::{Counted, Flow};

/// By client's address and server.
#[derive(Debug, Default)]
pub(crate) struct Open(HashMap<(IpAddr, SocketAddr), u32, RandomState>);

impl Open {
    /// Counts a flow when its connection is made, and when it ends.
    pub(crate) fn count(&mut self, flow: &mut Flow) {
        match flow.counted {
            Counted::NotYet if flow.is_connected => {
                let open = self.0.entry(key(flow)).or_default();
                *open += 1;
                flow.connections = Some(*open);
                flow.counted = Counted::Open;
            }
            Counted::Open if flow.ended.is_some() => self.forget(flow),
            _ => {}
        }
    }

    /// The flow has ended, or is dropped.
    pub(crate) fn forget(&mut self, flow: &mut Flow) {
        if flow.counted == Counted::Open
            && let Entry::Occupied(mut entry) = self.0.entry(key(flow))
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        flow.counted = Counted::Over;
    }
}

fn key(flow: &Flow) -> (IpAddr, SocketAddr) {
    let client = flow.client.unwrap_or(0);
    (flow.ends[client].ip(), flow.ends[1 - client])
}
