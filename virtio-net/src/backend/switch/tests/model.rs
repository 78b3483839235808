//! A switch against an obvious one.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use crate::backend::bench::{frame, receive, receive_event, send};
use crate::backend::{NetBackend, NetQueue, Switch, SwitchPort};

const STATIONS: u8 = 12;
/// The address of a group.
const GROUP: u8 = STATIONS;
const ROOM: usize = 512;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// From a station, by a port, to a station: so many frames, in one batch.
    Send {
        port: usize,
        from: u8,
        to: u8,
        count: usize,
    },
    Receive {
        port: usize,
        count: usize,
    },
    /// Plugs it out, or in.
    Plug {
        port: usize,
    },
    /// Closes its queue, or opens it.
    Open {
        port: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (port, from) = (0..5_usize, 0..STATIONS);
    let count = prop_oneof![8 => 1..20_usize, 1 => 200..600_usize];
    prop_oneof![
        8 => (port.clone(), from, 0..=GROUP, count.clone())
            .prop_map(|(port, from, to, count)| Step::Send { port, from, to, count }),
        6 => (port.clone(), count).prop_map(|(port, count)| Step::Receive { port, count }),
        1 => port.clone().prop_map(|port| Step::Plug { port }),
        1 => port.prop_map(|port| Step::Open { port }),
    ]
}

/// A port as it is, and as it should be.
struct Both {
    port: SwitchPort,
    queue: Option<Box<dyn NetQueue>>,
    frames: VecDeque<Vec<u8>>,
    /// Frames that were taken from the inbox with the last one received: they leave room for others.
    taken: usize,
    found_nothing: bool,
    overflows: u64,
}

impl Both {
    fn new(switch: &Switch) -> Both {
        let port = switch.port();
        let queue = Some(port.open_queue(0).unwrap());
        Both { port, queue, frames: VecDeque::new(), taken: 0, found_nothing: true, overflows: 0 }
    }

    fn put(&mut self, frame: &[u8]) {
        if self.queue.is_none() {
            return;
        }
        if self.frames.len() - self.taken == ROOM {
            self.overflows += 1;
        } else {
            self.frames.push_back(frame.to_vec());
        }
    }
}

fn make(to: u8, from: u8, number: u32) -> Vec<u8> {
    let mut frame = frame(to, from, 60, number);
    frame[0] |= u8::from(to == GROUP);
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_switch_is_the_obvious_one(steps in prop::collection::vec(step(), 1..60)) {
        let switch = Switch::new();
        let mut ports: Vec<Option<Both>> = (0..5).map(|_| Some(Both::new(&switch))).collect();
        let mut learned: HashMap<u8, usize> = HashMap::new();
        let mut sent = 0;
        for step in steps {
            match step {
                Step::Send { port, from, to, count } => {
                    let Some(queue) = ports[port].as_mut().and_then(|both| both.queue.as_mut()) else { continue };
                    let frames: Vec<_> = (0..count as u32).map(|number| make(to, from, sent + number)).collect();
                    sent += count as u32;
                    frames.iter().for_each(|frame| send(&mut **queue, frame).unwrap());
                    queue.flush();
                    learned.insert(from, port);
                    let waited: Vec<bool> = ports.iter().map(|both| both.as_ref().is_some_and(|b| b.found_nothing)).collect();
                    let targets: Vec<usize> = match learned.get(&to).filter(|_| to != GROUP) {
                        Some(known) => vec![*known],
                        None => (0..5).collect(),
                    };
                    for target in targets.iter().copied().filter(|target| *target != port) {
                        let Some(both) = &mut ports[target] else { continue };
                        frames.iter().for_each(|frame| both.put(frame));
                        if let Some(queue) = &both.queue {
                            prop_assert_eq!(receive_event(&**queue).take(), u64::from(waited[target]));
                            both.found_nothing = false;
                        }
                    }
                    for both in ports.iter().flatten() {
                        if let Some(queue) = &both.queue {
                            prop_assert_eq!(receive_event(&**queue).take(), 0, "who is not concerned is not woken");
                        }
                    }
                }
                Step::Receive { port, count } => {
                    let Some(both) = &mut ports[port] else { continue };
                    let Some(queue) = &mut both.queue else { continue };
                    for _ in 0..count {
                        if both.taken == 0 {
                            both.taken = both.frames.len().min(64);
                            both.found_nothing |= both.taken == 0;
                        }
                        both.taken = both.taken.saturating_sub(1);
                        prop_assert_eq!(receive(&mut **queue), both.frames.pop_front());
                    }
                }
                Step::Plug { port } => {
                    ports[port] = match ports[port].take() {
                        Some(both) => {
                            drop(both);
                            learned.retain(|_, behind| *behind != port);
                            None
                        }
                        None => Some(Both::new(&switch)),
                    };
                    prop_assert_eq!(switch.ports(), ports.iter().flatten().count());
                }
                Step::Open { port } => {
                    let Some(both) = &mut ports[port] else { continue };
                    both.frames.clear();
                    (both.taken, both.found_nothing) = (0, both.queue.is_none());
                    both.queue = match both.queue.take() {
                        Some(_) => None,
                        None => Some(both.port.open_queue(0).unwrap()),
                    };
                }
            }
            for both in ports.iter().flatten() {
                prop_assert_eq!(both.port.counts().overflows, both.overflows);
            }
        }
        for both in ports.iter_mut().flatten() {
            if let Some(queue) = &mut both.queue {
                prop_assert!(std::iter::from_fn(|| receive(&mut **queue)).eq(both.frames.drain(..)));
            }
        }
    }
}
