//! Queues that stop and go on elsewhere, in the midst of whatever the driver does: nothing is different from a queue that
//! stayed.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

#[macro_use]
mod both_layouts;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use virtio_core::testing::{Buffer, RingDriver, TestMemory, Used, Wish};
use virtio_core::{Features, QueuePosition, Ticket, Virtqueue};

both_layouts! {
    moved_or_not,
    an_interrupt_in_the_next_lap,
    chains_that_nobody_answers_move_along,
}

const MEMORY: usize = 1 << 16;

/// A driver and a device.
struct World<D> {
    memory: TestMemory,
    driver: D,
    queue: Virtqueue,
    interrupts: Arc<AtomicU64>,
    tickets: VecDeque<Ticket>,
}

fn setup(driver: &impl RingDriver, interrupts: &Arc<AtomicU64>, position: QueuePosition) -> Virtqueue {
    let mut setup = driver.setup();
    let count = interrupts.clone();
    setup.interrupt = Arc::new(move || {
        count.fetch_add(1, SeqCst);
    });
    setup.position = Some(position);
    Virtqueue::new(setup).unwrap()
}

impl<D: RingDriver> World<D> {
    /// After so many chains.
    fn new(size: u16, features: Features, chains: u16) -> World<D> {
        let memory = TestMemory::new(MEMORY);
        let mut driver = D::new(&memory, size, features);
        driver.start_after(chains);
        driver.want(Wish::Always);
        let interrupts = Arc::default();
        let queue = setup(&driver, &interrupts, driver.position(true));
        World { memory, driver, queue, interrupts, tickets: VecDeque::new() }
    }

    /// What its position comes to as text.
    fn text(&self) -> String {
        serde_json::to_string(&self.queue.position()).unwrap()
    }

    /// The device goes on elsewhere, as far as a position says where it was.
    fn go_elsewhere(&mut self) {
        let position = serde_json::from_str(&self.text()).unwrap();
        assert_eq!(position, self.queue.position());
        self.memory.adopt(&TestMemory::new(MEMORY));
        self.queue = setup(&self.driver, &self.interrupts, position);
    }

    /// One step, and what there is to see of it.
    fn step(&mut self, step: &Step) -> Seen {
        let World { driver, queue, tickets, .. } = self;
        let mut seen = Seen::default();
        match step {
            Step::Add(buffers) => seen.id = driver.add(&vec![Buffer::writable(0x8000, 8); *buffers]),
            Step::Offer => seen.yes = driver.publish(),
            Step::Want(wish) => driver.want(*wish),
            Step::Reap => seen.used = driver.used(),
            Step::Complete(len) => seen.yes = queue.pop().map(|chain| chain.complete(*len)).is_some(),
            Step::Keep => {
                let ticket = queue.pop().map(|chain| chain.into_ticket());
                seen.yes = ticket.is_some();
                tickets.extend(ticket);
            }
            Step::CompleteLate(last, len) => {
                let ticket = if *last { tickets.pop_back() } else { tickets.pop_front() };
                seen.yes = ticket.map(|ticket| queue.complete(ticket, *len).unwrap()).is_some();
            }
            Step::Publish => queue.publish(),
            Step::Arm => seen.yes = queue.arm(),
            Step::Disarm => queue.disarm(),
            Step::Move => {
                // As a task comes to rest.
                tickets.drain(..).for_each(|ticket| queue.complete(ticket, 1).unwrap());
                queue.publish();
            }
        }
        seen.interrupts = self.interrupts.load(SeqCst);
        seen
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    id: Option<u16>,
    used: Option<Used>,
    yes: bool,
    interrupts: u64,
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    Offer,
    Want(Wish),
    Reap,
    Complete(u32),
    Keep,
    CompleteLate(bool, u32),
    Publish,
    Arm,
    Disarm,
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1usize..4).prop_map(Step::Add),
        3 => Just(Step::Offer),
        2 => prop_oneof![Just(Wish::Always), Just(Wish::Never), (0u16..6).prop_map(Wish::After)].prop_map(Step::Want),
        3 => Just(Step::Reap),
        3 => (0u32..25).prop_map(Step::Complete),
        2 => Just(Step::Keep),
        2 => (any::<bool>(), 0u32..25).prop_map(|(last, len)| Step::CompleteLate(last, len)),
        2 => Just(Step::Publish),
        1 => Just(Step::Arm),
        1 => Just(Step::Disarm),
        2 => Just(Step::Move),
    ]
}

fn features() -> impl Strategy<Value = Features> {
    let pick = |yes, feature| if yes { feature } else { Features::NONE };
    (prop::bool::weighted(0.7), any::<bool>()).prop_map(move |(event_idx, in_order)| {
        Features::VERSION_1 | pick(event_idx, Features::EVENT_IDX) | pick(in_order, Features::IN_ORDER)
    })
}

/// Two worlds with the same history, but for one in which the queue moves.
fn moved_or_not<D: RingDriver>() {
    let starts = prop::sample::select(vec![0u16, 3, 7, 8, 15, 65_530]);
    let history = (features(), starts, prop::collection::vec(step(), 1..200));
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(300) };
    proptest!(config, |((features, start, steps) in history)| {
        let [mut stays, mut moves] = [(); 2].map(|()| World::<D>::new(8, features, start));
        let (mut offered, mut back) = (0, 0);
        for step in &steps {
            let seen = stays.step(step);
            prop_assert_eq!(&seen, &moves.step(step), "{:?}", step);
            if matches!(step, Step::Move) {
                moves.go_elsewhere();
            }
            offered += usize::from(seen.id.is_some());
            back += usize::from(seen.used.is_some());
        }
        // All of it comes to an end, in both.
        let end = [Step::Move, Step::Offer].into_iter().chain(vec![Step::Complete(1); 8]).chain([Step::Publish]);
        for step in end.chain(vec![Step::Reap; 8]) {
            let seen = stays.step(&step);
            prop_assert_eq!(&seen, &moves.step(&step));
            back += usize::from(seen.used.is_some());
        }
        prop_assert_eq!(back, offered);
        prop_assert_eq!(stays.queue.position(), moves.queue.position());
        prop_assert!(stays.memory.bytes(0, MEMORY) == moves.memory.bytes(0, MEMORY), "the same, byte for byte");
    });
}

/// The driver waits for the second chain from here, which is the first of a lap; the queue moves between the two.
fn an_interrupt_in_the_next_lap<D: RingDriver>() {
    for laps in [1, 2] {
        let mut world = World::<D>::new(8, Features::EVENT_IDX, 8 * laps - 1);
        world.driver.want(Wish::After(1));
        for (chain, interrupts) in [(0, 0), (1, 1), (2, 1)] {
            for step in [Step::Add(1), Step::Offer, Step::Complete(4), Step::Publish] {
                world.step(&step);
            }
            assert_eq!(world.interrupts.load(SeqCst), interrupts, "chain {chain} in lap {laps}");
            world.go_elsewhere();
        }
        assert_eq!(std::iter::from_fn(|| world.driver.used()).count(), 3);
    }
}

/// Chains that nobody answers any more take up their room, here as there.
fn chains_that_nobody_answers_move_along<D: RingDriver>() {
    let mut world = World::<D>::new(4, Features::NONE, 3);
    for _ in 0..4 {
        world.step(&Step::Add(1));
    }
    for step in [Step::Offer, Step::Keep, Step::Keep, Step::Keep] {
        world.step(&step);
    }
    world.tickets.clear();
    world.go_elsewhere();
    assert!(world.step(&Step::Complete(1)).yes && !world.step(&Step::Complete(1)).yes);
    assert_eq!(world.queue.fault(), None);
}

#[test]
fn both_counters_at_the_end_of_a_packed_ring() {
    let packed = |available, available_wrap, used, used_wrap| {
        format!(
            r#"{{"Packed":{{"available":{available},"available_wrap":{available_wrap},"used":{used},"used_wrap":{used_wrap},"decided":true}}}}"#
        )
    };
    type Packed = World<virtio_core::testing::PackedDriver>;
    let mut world = Packed::new(4, Features::EVENT_IDX, 3);
    assert_eq!(world.text(), packed(3, true, 3, true));
    for step in [Step::Add(1), Step::Add(2), Step::Offer, Step::Keep] {
        world.step(&step);
    }
    assert_eq!(world.text(), packed(0, false, 3, true), "one side is in the next lap");
    for step in [Step::CompleteLate(false, 8), Step::Publish] {
        world.step(&step);
    }
    assert_eq!(world.text(), packed(0, false, 0, false), "and the other");
    world.go_elsewhere();
    for step in [Step::Complete(8), Step::Publish] {
        assert!(world.step(&step).yes || matches!(step, Step::Publish));
    }
    assert_eq!(world.text(), packed(2, false, 2, false));
    for step in [Step::Reap, Step::Reap, Step::Add(2), Step::Offer, Step::Complete(8), Step::Publish] {
        world.step(&step);
    }
    assert_eq!(world.text(), packed(0, true, 0, true), "two laps on");
    world.go_elsewhere();
    assert_eq!(world.step(&Step::Reap).used.map(|used| used.len), Some(8));
}

#[test]
fn text_that_is_no_position() {
    for text in [
        r#"{"Split":{"available":65536,"used":0,"decided":true}}"#,
        r#"{"Split":{"available":-1,"used":0,"decided":true}}"#,
        r#"{"Split":{"available":1,"used":0}}"#,
        r#"{"Packed":{"available":1,"used":0,"decided":true}}"#,
        r#"{"Packed":{"available":1,"available_wrap":2,"used":0,"used_wrap":true,"decided":true}}"#,
        r#"{"Other":{"available":1,"used":0,"decided":true}}"#,
        "null",
    ] {
        assert!(serde_json::from_str::<QueuePosition>(text).is_err(), "{text}");
    }
}
