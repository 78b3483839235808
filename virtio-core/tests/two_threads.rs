//! A driver and a device on one ring, in two threads: every payload is checked, and nobody sleeps through anything.
//!
//! `VIRTIO_SOAK_CHAINS` says how many chains each test exchanges; `scripts/soak` sets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use virtio_core::testing::{Buffer, PackedDriver, RingDriver, SplitDriver, TestMemory, Used, Wish};
use virtio_core::{Chain, Event, Features, Ticket, Virtqueue};

/// Bytes of a question, and room for an answer.
const QUESTION: usize = 40;
const ROOM: usize = 24;

/// Looks at an event before it counts as lost, far more than it can take.
const PATIENCE: u64 = 1 << 25;

fn chains() -> u64 {
    std::env::var("VIRTIO_SOAK_CHAINS").map_or(20_000, |chains| chains.parse().expect("a number of chains"))
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end
    }

    /// Now and then takes a while, so that the two sides meet in all places.
    fn stall(&mut self) {
        match self.below(64) {
            0 => thread::yield_now(),
            1..4 => (0..self.below(2000)).for_each(|_| std::hint::spin_loop()),
            4..16 => (0..self.below(50)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
    }
}

/// Lets the other side know when this one fails.
#[derive(Clone, Default)]
struct Alarm(Arc<AtomicBool>);

impl Alarm {
    fn wait_for(&self, event: &Event, who: &str) {
        for _ in 0..PATIENCE {
            if event.take() != 0 {
                return;
            }
            self.check();
            thread::yield_now();
        }
        panic!("{who} was not woken");
    }

    fn check(&self) {
        assert!(!self.0.load(SeqCst), "the other side has failed");
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.0.fetch_or(thread::panicking(), SeqCst);
    }
}

fn question(number: u64) -> [u8; QUESTION] {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = [0; QUESTION];
    bytes.chunks_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// What there is to write: every seventh answer is short, which ends a batch of a device that works in order.
fn answer(question: &[u8; QUESTION]) -> Vec<u8> {
    let words = question.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let sum = words.clone().fold(0u64, |sum, word| sum.rotate_left(9).wrapping_mul(3).wrapping_add(word));
    let number = words.clone().next().unwrap();
    let len = if number.is_multiple_of(7) { 16 } else { ROOM };
    [number, sum, !sum].iter().flat_map(|word| word.to_le_bytes()).take(len).collect()
}

/// The driver's side: places for questions and answers, used again and again.
struct Driver<D> {
    memory: TestMemory,
    ring: D,
    random: Random,
    /// Addresses of the question, the answer, and a table.
    places: Vec<[u64; 3]>,
    free: Vec<usize>,
    /// The place and the number of what is out, by id.
    out: Vec<Option<(usize, u64)>>,
    doorbell: Event,
    interrupt: Event,
    alarm: Alarm,
}

impl<D: RingDriver> Driver<D> {
    fn in_flight(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Adds a chain in one of several shapes; whether there was room.
    fn ask(&mut self, number: u64) -> bool {
        let Some(place) = self.free.last().copied() else {
            return false;
        };
        let [from, to, table] = self.places[place];
        let (one, two) = (QUESTION as u32 / 8, QUESTION as u32 - QUESTION as u32 / 8);
        let whole = [Buffer::readable(from, QUESTION as u32), Buffer::writable(to, ROOM as u32)];
        let cut = [Buffer::readable(from, one), Buffer::readable(from + u64::from(one), two), whole[1]];
        // Before the chain is there: it may be made available by an earlier one's doorbell.
        self.memory.write(from, &question(number));
        self.memory.write(to, &[0xee; ROOM]);
        let id = match self.random.below(4) {
            0 => self.ring.add(&whole),
            1 => self.ring.add(&cut),
            _ => self.ring.add_table(table, &cut),
        };
        let Some(id) = id else {
            return false;
        };
        self.free.pop();
        assert_eq!(self.out[usize::from(id)].replace((place, number)), None, "an id that is out");
        true
    }

    fn publish(&mut self) {
        if self.ring.publish() {
            self.doorbell.signal();
        }
    }

    /// Takes and checks everything that came back; how much that was.
    fn reap(&mut self) -> u64 {
        let mut count = 0;
        while let Some(Used { id, len }) = self.ring.used() {
            let (place, number) = self.out[id as usize].take().expect("an id that is out");
            let expected = answer(&question(number));
            assert_eq!(len as usize, expected.len(), "number {number}");
            let [_, to, _] = self.places[place];
            assert_eq!(self.memory.bytes(to, expected.len()), expected, "number {number}");
            self.free.push(place);
            count += 1;
        }
        count
    }

    /// Asks to be interrupted, and waits for that unless something came back meanwhile.
    fn rest(&mut self) {
        let ahead = match self.random.below(3) {
            0 => self.in_flight() * 3 / 4,
            _ => 0,
        };
        self.ring.want(if ahead == 0 { Wish::Always } else { Wish::After(ahead as u16) });
        // What has come back already may lie behind the place that was asked for: chains take up several slots.
        if self.ring.waiting() == 0 {
            self.alarm.wait_for(&self.interrupt, "the driver");
        }
        self.ring.want(if self.random.below(2) == 0 { Wish::Never } else { Wish::Always });
    }

    fn run(mut self, chains: u64) {
        let (mut asked, mut answered) = (0, 0);
        while answered < chains {
            self.alarm.check();
            for _ in 0..self.random.below(40) {
                if asked == chains || !self.ask(asked) {
                    break;
                }
                asked += 1;
                self.random.stall();
            }
            self.publish();
            self.random.stall();
            let now = self.reap();
            answered += now;
            if now == 0 && self.in_flight() != 0 && self.random.below(4) != 0 {
                self.rest();
            }
        }
        assert_eq!((self.reap(), self.in_flight()), (0, 0));
        self.doorbell.signal();
    }
}

/// The device's side.
struct Device {
    queue: Virtqueue,
    random: Random,
    /// Chains that are answered, but not given back yet.
    held: Vec<(Ticket, u32)>,
    alarm: Alarm,
}

/// Reads the question, and writes the answer; its length.
fn reply(chain: &Chain<'_>) -> u32 {
    assert_eq!(chain.fault(), None);
    assert_eq!((chain.reader().remaining(), chain.writer().remaining()), (QUESTION, ROOM));
    let question = chain.reader().read_array::<QUESTION>().unwrap();
    let answer = answer(&question);
    chain.writer().write(&answer).unwrap();
    answer.len() as u32
}

impl Device {
    /// Takes chains, and gives them back at once or later, in any order; how many it has taken.
    fn serve(&mut self) -> u64 {
        let mut count = 0;
        let most = 1 + self.random.below(60);
        while count < most
            && let Some(chain) = self.queue.pop()
        {
            let len = reply(&chain);
            if self.random.below(4) == 0 {
                self.held.push((chain.into_ticket(), len));
            } else {
                chain.complete(len);
            }
            count += 1;
            self.random.stall();
        }
        count
    }

    fn give_back(&mut self, keep: usize) {
        while self.held.len() > keep {
            let index = self.random.below(self.held.len() as u64) as usize;
            let (ticket, len) = self.held.swap_remove(index);
            self.queue.complete(ticket, len).unwrap();
        }
    }

    fn run(mut self, chains: u64) {
        let doorbell = self.queue.setup().doorbell.clone();
        let mut served = 0;
        while served < chains || !self.held.is_empty() {
            self.alarm.check();
            self.queue.disarm();
            served += self.serve();
            let keep = self.random.below(8) as usize;
            self.give_back(keep);
            self.queue.publish();
            self.random.stall();
            if served < chains && self.queue.arm() {
                continue;
            }
            assert_eq!(self.queue.fault(), None);
            // Nothing may be kept over a sleep: the driver could wait for it.
            self.give_back(0);
            self.queue.publish();
            if served < chains {
                self.alarm.wait_for(&doorbell, "the device");
            }
        }
    }
}

fn exchange<D: RingDriver>(size: u16, features: Features) {
    let memory = TestMemory::new(1 << 20);
    let ring = D::new(&memory, size, features | Features::VERSION_1 | Features::INDIRECT_DESC);
    let (interrupt, mut setup) = (Event::new().unwrap(), ring.setup());
    setup.interrupt = Arc::new(interrupt.clone());
    let alarm = Alarm::default();
    let driver = Driver {
        ring,
        random: Random(0x1234_5678_9abc_def1),
        places: (0..size).map(|_| [QUESTION, ROOM, 48].map(|len| memory.alloc(len as u64, 16))).collect(),
        free: (0..size.into()).collect(),
        out: vec![None; size.into()],
        doorbell: setup.doorbell.clone(),
        interrupt,
        alarm: alarm.clone(),
        memory,
    };
    let queue = Virtqueue::new(setup).unwrap();
    let device = Device { queue, random: Random(0xfedc_ba98_7654_3211), held: Vec::new(), alarm };
    let chains = chains();
    thread::scope(|scope| {
        scope.spawn(move || device.run(chains));
        driver.run(chains);
    });
}

/// With and without event indexes, on a ring that is often full and on one that hardly ever is.
fn all<D: RingDriver>(sizes: [u16; 2], features: Features) {
    for size in sizes {
        for event_idx in [Features::EVENT_IDX, Features::NONE] {
            exchange::<D>(size, features | event_idx);
        }
    }
}

#[test]
fn split() {
    all::<SplitDriver>([8, 256], Features::NONE);
}

#[test]
fn split_in_order() {
    all::<SplitDriver>([8, 256], Features::IN_ORDER);
}

#[test]
fn packed() {
    all::<PackedDriver>([7, 256], Features::NONE);
}

#[test]
fn packed_in_order() {
    all::<PackedDriver>([7, 256], Features::IN_ORDER);
}
