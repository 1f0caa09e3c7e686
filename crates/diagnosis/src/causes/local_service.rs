//! A destination on this machine, such as a content filter: no server of somebody else, and nothing between.

use super::remedy::{Row, here};

pub(super) const LISTENER: Row = here(
    "Look at the program that should listen on this port of {us} (Linux: `ss -ltnp 'sport = :{port}'`; Windows: `Get-NetTCPConnection -LocalPort {port}`), such as a content filter: whether it runs, and what its log says at the time of the failures.",
)
.local(true);
