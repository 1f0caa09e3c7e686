//! This house: its layers, what belongs where, and the words that it avoids.

use crate::{exceptions::EXCEPTIONS, fault::Exception};

/// All that the rules need to know.
#[derive(Clone, Copy, Debug)]
pub struct House {
    /// From the top down. A crate imports only crates of lower layers.
    pub layers: &'static [&'static [&'static str]],
    /// Crates that import no other; only tests and the crates named here import them.
    pub aside: &'static [(&'static str, &'static [&'static str])],
    /// Pairs that their layers alone would allow, with the rule that forbids them.
    pub apart: &'static [(&'static str, &'static str, &'static str)],
    /// Packages from outside that only these crates may depend on.
    pub confined: &'static [(&'static [&'static str], &'static [&'static str])],
    pub senses: &'static [Sense],
    /// What to avoid, and what to write in its place.
    pub phrases: &'static [(&'static str, &'static str)],
    pub exceptions: &'static [Exception],
}

/// Something that code can only do in some places.
#[derive(Clone, Copy, Debug)]
pub struct Sense {
    /// Paths and macros, by their last words.
    pub words: &'static [&'static str],
    pub rule: &'static str,
    pub places: Where,
}

/// Beginnings of paths.
#[derive(Clone, Copy, Debug)]
pub enum Where {
    Only(&'static [&'static str]),
    Not(&'static [&'static str]),
}

pub const HOUSE: House = House {
    layers: LAYERS,
    aside: &[("lab", &["gatepost"]), ("tidy", &[])],
    apart: APART,
    confined: CONFINED,
    senses: SENSES,
    phrases: PHRASES,
    exceptions: EXCEPTIONS,
};

const LAYERS: &[&[&str]] = &[
    &["gatepost"],
    &["console"],
    &["node"],
    &["insight"],
    &["store", "net", "filter"],
    &["diagnosis", "delivery"],
    &["capture", "trace"],
    &["protocol"],
];

const APART: &[(&str, &str, &str)] = &[
    ("insight", "net", "insight answers questions from what is stored; its caller opens sockets"),
    ("net", "trace", "net reports facts of the protocol; its callers make events of them"),
    ("net", "delivery", "net does what it is told; its callers decide"),
    ("net", "capture", "sender and capture must not share a reader of sockets and files"),
    ("net", "diagnosis", "mail never waits for diagnosis"),
    ("filter", "delivery", "a filter has an opinion; its callers decide"),
    ("store", "diagnosis", "mail never waits for diagnosis"),
];

const CONFINED: &[(&[&str], &[&str])] = &[
    (&["rusqlite", "tokio-postgres", "postgres-openssl", "object_store"], &["store"]),
    (&["clap"], &["gatepost"]),
    (&["axum"], &["console"]),
    (&["prometheus-client"], &["console"]),
    (&["maud"], &["insight", "console"]),
    (&["hickory-resolver"], &["net"]),
    // The store speaks HTTP to an S3 server, beneath object_store.
    (&["tokio-openssl"], &["net", "store"]),
    (&["openssl-probe"], &["net", "store"]),
    (&["openssl"], &["net", "store", "lab"]),
    (&["socket2"], &["net", "lab"]),
    (&["hyper", "hyper-util"], &["net", "console", "store"]),
    (&["tokio"], &["store", "net", "filter", "insight", "node", "console", "gatepost"]),
    (&["tracing"], &["store", "net", "filter", "node", "console", "gatepost"]),
    (&["tracing-subscriber"], &["gatepost"]),
];

const SENSES: &[Sense] = &[
    Sense {
        words: &["SystemTime::now", "Timestamp::now", "Instant::now", "Zoned::now"],
        rule: "whoever decides or explains is given the time; only what runs, waits or talks to people reads the clock",
        places: Where::Only(&[
            "crates/net/src/",
            "crates/node/src/",
            "crates/console/src/",
            "crates/gatepost/src/",
            "crates/store/src/sqlite/",
            "crates/store/src/postgres/",
            // The store's own clock decides what is due.
            "crates/store/src/clock.rs",
            "crates/lab/src/",
        ]),
    },
    Sense {
        words: &["Uuid::now_v7", "Uuid::new_v4", "RandomState::new", "getrandom", "rand_bytes", "rand"],
        rule: "decisions and readers give the same answer each time; ids and chance come from above",
        places: Where::Only(&[
            "crates/net/src/",
            "crates/store/src/",
            "crates/node/src/",
            "crates/gatepost/src/",
            // Hashes of texts, whose order nothing sees.
            "crates/diagnosis/src/intern.rs",
            "crates/diagnosis/src/evidence/intern.rs",
        ]),
    },
    Sense {
        words: &[
            "std::fs",
            "std::process",
            "std::env",
            "std::thread",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "File::open",
        ],
        rule: "this crate does no I/O: its caller reads and hands over what was read",
        places: Where::Not(&["crates/protocol/src/", "crates/delivery/src/", "crates/diagnosis/src/"]),
    },
    Sense {
        words: &["TcpStream", "TcpListener", "TcpSocket", "UdpSocket"],
        rule: "sockets belong to net, and to who listens for HTTP",
        places: Where::Only(&[
            "crates/net/src/",
            // Connections to an S3 server.
            "crates/store/src/outside/",
            "crates/node/src/",
            "crates/console/src/",
            "crates/gatepost/src/",
            "crates/lab/src/",
        ]),
    },
    Sense {
        words: &["print!", "println!", "eprint!", "eprintln!", "stdout", "stderr"],
        rule: "only the command line prints; report to the caller instead",
        places: Where::Only(&["crates/gatepost/src/", "crates/lab/src/"]),
    },
];

/// From the guide to plain English: those that can be searched without false alarms.
const PHRASES: &[(&str, &str)] = &[
    ("held against", "compared with"),
    ("hold against", "compare with"),
    ("holds against", "compares with"),
    ("failed for now", "deferred"),
    ("failed for good", "bounced"),
    ("put off", "deferred"),
    ("come to rest", "finished"),
    ("comes to rest", "finishes"),
    ("came to rest", "finished"),
    ("held up", "waiting, or stuck"),
    ("due again", "next attempt"),
    ("made due", "retry requested"),
    ("backed off", "paused"),
    ("how it stands", "current status"),
    ("standing now", "current status"),
    ("in the clear", "in plaintext"),
    ("the other side", "the destination, or its administrator"),
    ("the other side's", "the destination's, or its administrator's"),
    ("between the two", "between the gateway and the destination"),
    ("told nothing", "not recognised"),
    ("tell of", "report, show, list"),
    ("tells of", "reports, shows, lists"),
    ("told of", "reported, shown, listed"),
    ("beyond reading", "not recognised"),
    ("passed over", "skipped"),
    ("goes in a circle", "is in a mail loop"),
    ("go in a circle", "are in a mail loop"),
    ("put to the test", "tested by a probe"),
    ("puts it to the test", "tests it with a probe"),
    ("speaks against", "rules out"),
    ("take back", "roll back"),
    ("taken back", "rolled back"),
    ("takes back", "rolls back"),
    ("halts itself", "halts automatically"),
    ("halt itself", "halt automatically"),
    ("halted by itself", "halted automatically"),
    ("anew", "again"),
    ("afresh", "again"),
    ("nought", "zero"),
    ("all the same", "anyway"),
    ("in vain", "without an answer"),
    ("at the most", "at most"),
    ("so many", "the number, by name"),
    ("time-out", "timeout"),
    ("time-outs", "timeouts"),
    ("look-up", "lookup"),
    ("look-ups", "lookups"),
    ("mended", "fixed"),
    ("mend", "fix"),
    ("mends", "fixes"),
    ("cure", "fix, or remedy"),
    ("cures", "fixes"),
    ("cured", "fixed"),
    ("whoever", "name who acts"),
    ("likeliest", "most likely"),
    ("judgement", "finding"),
    ("by chance:", "chance of coincidence"),
    ("is no", "is not a"),
    ("# %", "no space before %"),
];
