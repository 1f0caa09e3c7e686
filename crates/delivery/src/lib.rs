//! Who, when, and whether again: pure decisions about deliveries. No clock, no randomness, no I/O; both come in as
//! arguments.

