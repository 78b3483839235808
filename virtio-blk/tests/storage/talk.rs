//! A driver that keeps account of what it has asked for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver, SplitDriver};

use crate::rig::{Answer, OK, Pending, Rig, Split, UNTOUCHED, header};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Numbers that look random, and are the same for the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True `percent` times in a hundred.
    pub(crate) fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// One queue, and the requests that are with the device, by the head of their chains.
pub(crate) struct Talk {
    pub(crate) driver: SplitDriver,
    queue: u16,
    flying: HashMap<u32, (u64, Pending)>,
    next: u64,
}

impl Talk {
    pub(crate) fn new(driver: SplitDriver, queue: u16) -> Talk {
        Talk { driver, queue, flying: HashMap::new(), next: 0 }
    }

    /// Requests that have no answer yet.
    pub(crate) fn flying(&self) -> usize {
        self.flying.len()
    }

    /// Where the device may write until it answers.
    pub(crate) fn places(&self) -> Vec<Pending> {
        self.flying.values().map(|(_, pending)| pending.clone()).collect()
    }

    /// Adds a request, to be shown later; a number for it.
    pub(crate) fn ask<P: Split>(&mut self, rig: &Rig<P>, kind: u32, sector: u64, payload: &[u8], room: usize) -> u64 {
        let header = rig.memory.place(&header(kind, sector));
        let data = rig.memory.place(&vec![UNTOUCHED; room + 1]);
        let pending = Pending { data, data_len: room, status: data + room as u64 };
        let mut chain = vec![Buffer::readable(header, 16)];
        if !payload.is_empty() {
            chain.push(Buffer::readable(rig.memory.place(payload), payload.len() as u32));
        }
        if room != 0 {
            chain.push(Buffer::writable(data, room as u32));
        }
        chain.push(Buffer::writable(pending.status, 1));
        let head = self.driver.add(&chain).expect("room in the ring");
        let number = self.next;
        self.next += 1;
        assert!(self.flying.insert(head.into(), (number, pending)).is_none(), "the driver has one head twice");
        number
    }

    /// Whether one more request fits the ring.
    pub(crate) fn has_room(&self) -> bool {
        self.driver.free() >= 4
    }

    /// Shows the device what was added.
    pub(crate) fn show<P: Split>(&mut self, rig: &Rig<P>) {
        self.driver.kick(|| rig.port.notify(self.queue));
    }

    /// The next answer. A request that is answered twice fails the test.
    pub(crate) fn answer<P: Split>(&mut self, rig: &Rig<P>) -> Option<(u64, Answer)> {
        let used = self.driver.used()?;
        let (number, pending) = self.flying.remove(&used.id).expect("an answer to what was asked, and once only");
        Some((number, rig.answer(&pending, used)))
    }

    /// All answers, in the order of the requests.
    pub(crate) fn answers<P: Split>(&mut self, rig: &Rig<P>) -> Vec<Answer> {
        let mut answers = Vec::new();
        self.show(rig);
        until(rig, || {
            answers.extend(std::iter::from_fn(|| self.answer(rig)));
            self.flying.is_empty()
        });
        rig.runtime.poll();
        assert!(self.driver.used().is_none(), "no more answers than requests");
        answers.sort_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// One request, from begin to end.
    pub(crate) fn one<P: Split>(
        &mut self,
        rig: &Rig<P>,
        kind: u32,
        sector: u64,
        payload: &[u8],
        room: usize,
    ) -> Answer {
        assert_eq!(self.flying(), 0);
        self.ask(rig, kind, sector, payload, room);
        self.answers(rig).remove(0)
    }

    /// A read and a write go well, still.
    pub(crate) fn works<P: Split>(&mut self, rig: &Rig<P>, sector: u64) {
        let data = crate::rig::pattern(1024, 0x5a);
        assert_eq!(self.one(rig, crate::rig::OUT, sector, &data, 0).status, OK);
        let read = self.one(rig, crate::rig::IN, sector, &[], 1024);
        assert_eq!((read.status, read.data), (OK, data));
        assert_eq!(self.one(rig, crate::rig::FLUSH, 0, &[], 0).status, OK);
    }
}

/// Runs the device until something is so.
pub(crate) fn until<P: Split>(rig: &Rig<P>, mut so: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    loop {
        rig.runtime.poll();
        if so() {
            return;
        }
        assert!(Instant::now() < limit, "it does not come about");
        std::thread::yield_now();
    }
}

/// Resets the device, and waits for that.
pub(crate) fn reset<P: Split>(rig: &Rig<P>) {
    rig.port.set_status(0);
    until(rig, || rig.port.status() == 0);
}

/// A live device on one queue.
pub(crate) fn live<P: Split>(rig: &Rig<P>, features: Features) -> Talk {
    Talk::new(rig.live(features), 0)
}

/// A segment of a request to discard or to zero.
pub(crate) fn segment(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}
