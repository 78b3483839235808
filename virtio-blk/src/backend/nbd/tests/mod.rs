//! The whole of the backend but for the protocol's rules, which are tested beside it: against a server in this process
//! that does what a test tells it, and against real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod cache;
mod cancel;
mod connect;
mod hostile;
mod outage;
mod programs;
mod requests;
mod server;
mod uri;

use std::time::{Duration, Instant};

use self::server::Server;
use super::{NbdBackend, NbdBuilder};
use crate::backend::BlockQueue;

/// Longer than any test waits for something that happens.
const LONG: Duration = Duration::from_secs(60);

/// A backend whose time-outs do not happen in a test.
fn patient(server: &Server) -> NbdBuilder {
    NbdBackend::builder(&server.uri()).timeout(LONG * 2).connect_timeout(LONG).reconnect(LONG)
}

/// Some bytes that tell where they are from.
fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Has the queue go on until something is true.
fn until(queue: &mut dyn BlockQueue, what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < limit, "{what}");
        queue.completions(0, &mut |_| {});
        std::thread::yield_now();
    }
}
