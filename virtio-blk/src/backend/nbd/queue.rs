//! A queue of the device, on one or several connections.

use std::sync::Arc;
use std::time::Instant;

use virtio_core::{Source, Sources};

use super::Shared;
use super::connection::{Broken, Connection};
use super::jobs::Jobs;
use super::link::Link;
use crate::backend::{BlockQueue, Completion, Operation};

/// Bytes that are received at once.
const RECEPTION: usize = 256 << 10;
/// How often each connection is sent something in one call.
const SENDINGS: u32 = 8;

#[derive(Debug)]
pub(super) struct NbdQueue {
    shared: Arc<Shared>,
    links: Vec<Link>,
    jobs: Jobs,
    buffer: Vec<u8>,
    /// What the task waits for: socket, and whether for room to send.
    interest: Vec<(u64, bool, bool)>,
    version: u64,
    /// There is more to be sent, and sockets may take it.
    more: bool,
    /// Why there is no connection.
    reason: String,
}

impl NbdQueue {
    pub(super) fn new(shared: Arc<Shared>, depth: u16) -> NbdQueue {
        let link = |_| Link::new(Arc::clone(&shared), shared.take_spare());
        let links = (0..shared.connections()).map(link).collect();
        let settings = &shared.settings;
        let limit = settings.reconnect.max(settings.connect_timeout);
        let cache = Arc::clone(&shared.cache);
        let jobs = Jobs::new(depth, shared.export, shared.read_only(), cache, limit);
        let reason = "it is being made".to_owned();
        let (buffer, interest) = (vec![0; RECEPTION], Vec::new());
        let mut queue = NbdQueue { shared, links, jobs, buffer, interest, version: 0, more: false, reason };
        queue.drive();
        queue
    }

    fn any_ready(&self) -> bool {
        self.links.iter().any(Link::is_ready)
    }

    /// Does all that can be done without waiting.
    fn drive(&mut self) {
        let now = Instant::now();
        for index in 0..self.links.len() {
            let NbdQueue { links, jobs, buffer, .. } = self;
            let advanced = links.get_mut(index).map_or(Ok(()), |link| link.advance(now, jobs, buffer));
            if let Err(broken) = advanced {
                self.broke(index, now, &broken);
            }
        }
        self.push(now);
    }

    /// Hands requests to the connections, and sends them.
    fn push(&mut self, now: Instant) {
        if self.any_ready() {
            // From now on the server is known to have been there.
            self.jobs.set_limit(self.shared.settings.reconnect);
        }
        self.more = true;
        for _ in 0..SENDINGS {
            self.hand_out(now);
            let mut sent = false;
            for index in 0..self.links.len() {
                let NbdQueue { links, jobs, .. } = self;
                let result = links.get_mut(index).and_then(Link::connection).map(|connection| connection.send(jobs));
                match result {
                    Some(Ok(some)) => sent |= some,
                    Some(Err(broken)) => self.broke(index, now, &broken),
                    None => {}
                }
            }
            if !sent {
                self.more = false;
                break;
            }
        }
        if !self.any_ready() {
            self.jobs.expire(now, &self.reason);
        }
        self.note_interest();
    }

    /// Hands requests to the connections that have the least to do.
    fn hand_out(&mut self, now: Instant) {
        while let Some(part) = self.jobs.next() {
            let connections = self.links.iter_mut().enumerate().filter_map(|(at, link)| Some((at, link.connection()?)));
            let mut best: Option<(usize, &mut Connection)> = None;
            for (at, connection) in connections {
                if connection.may_undo(&part) {
                    // What the driver writes after a request was cancelled has to come after it, and the server may do
                    // requests in any order. So it is waited for, no longer than its time-out.
                    return;
                }
                let better = best.as_ref().is_none_or(|(_, other)| connection.load() < other.load());
                if better && connection.has_room() {
                    best = Some((at, connection));
                }
            }
            let Some((index, connection)) = best else {
                return;
            };
            self.jobs.take(&part);
            if let Err(broken) = connection.begin(part, now, &mut self.jobs) {
                self.broke(index, now, &broken);
            }
        }
    }

    /// Ends a connection. What it had is asked for again, on another one.
    fn broke(&mut self, index: usize, now: Instant, broken: &Broken) {
        let connection = self.links.get_mut(index).and_then(|link| link.end(now));
        self.reason = broken.to_string();
        let parts = match connection {
            Some(connection) => {
                let parts = connection.end();
                self.shared.lost(broken, parts.len());
                parts
            }
            None => return self.shared.failed(broken),
        };
        let only = !self.any_ready();
        self.jobs.disturbed(now, only);
        for part in parts {
            self.jobs.lost(part, now, broken);
        }
    }

    fn note_interest(&mut self) {
        let interests = self.links.iter().filter_map(Link::interest);
        let new = interests.map(|interest| (interest.attempt, interest.readable, interest.writable));
        if !new.clone().eq(self.interest.iter().copied()) {
            self.interest = new.collect();
            self.version += 1;
        }
    }

    /// Cancels the operation with this tag, or all.
    fn give_up(&mut self, tag: Option<u16>) {
        let now = Instant::now();
        let tags = tag.map_or_else(|| self.jobs.tags(), |tag| vec![tag]);
        for index in 0..self.links.len() {
            let connection = self.links.get_mut(index).and_then(Link::connection);
            if let Some(Err(broken)) = connection.map(|connection| connection.cancel(tag)) {
                self.broke(index, now, &broken);
            }
        }
        tags.into_iter().for_each(|tag| self.jobs.cancel(tag));
        self.note_interest();
    }
}

impl BlockQueue for NbdQueue {
    fn sources(&self, sources: &mut Sources) {
        for interest in self.links.iter().filter_map(Link::interest) {
            if interest.readable {
                sources.add(Source::Readable(interest.stream.file()), 0);
            }
            if interest.writable {
                sources.add(Source::Writable(interest.stream.file()), 0);
            }
        }
    }

    fn sources_version(&self) -> u64 {
        self.version
    }

    fn deadline(&self) -> Option<Instant> {
        if self.more || self.jobs.has_finished() {
            return Some(Instant::now());
        }
        let links = self.links.iter().filter_map(Link::deadline).min();
        let jobs = if self.any_ready() { None } else { self.jobs.deadline() };
        links.into_iter().chain(jobs).min()
    }

    fn submit(&mut self, operation: Box<Operation>) {
        let trouble = if self.any_ready() { None } else { Some(Instant::now()) };
        self.jobs.submit(operation, trouble);
        if trouble.is_some() {
            self.links.iter_mut().for_each(Link::hurry);
        }
    }

    fn kick(&mut self) {
        self.push(Instant::now());
    }

    fn completions(&mut self, most: usize, done: &mut dyn FnMut(Completion)) {
        self.drive();
        for _ in 0..most {
            let Some(completion) = self.jobs.pop_finished() else {
                break;
            };
            done(completion);
        }
    }

    /// A connection stays as it is: what is cancelled is answered to nobody. The operations are free at once, because
    /// only copies of their memory are sent and received.
    fn cancel(&mut self) {
        self.give_up(None);
    }

    fn cancel_one(&mut self, tag: u16) {
        self.give_up(Some(tag));
    }
}

impl Drop for NbdQueue {
    fn drop(&mut self) {
        // Whoever opens a queue next goes on with the connections: some servers take one only, or end with the last one.
        for link in self.links.drain(..) {
            if let Some(connection) = link.into_spare() {
                self.shared.give_spare(connection);
            }
        }
    }
}
