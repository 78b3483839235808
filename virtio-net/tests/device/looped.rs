//! A device whose tasks wait for files as they do outside of tests, and that never runs by itself: so that it can be seen
//! whether they come to rest.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use virtio_core::testing::suite::{Port as _, RingPort};
use virtio_core::testing::{Buffer, RingDriver, TestMemory};
use virtio_core::{DeviceHost, InlineRuntime, LoopRuntime};
use virtio_mmio::testing::Mmio;
use virtio_net::{MacAddress, Net, NetBackend, NetBuilder, NetHeader};

use crate::commands::{Command, OK};
use crate::frames::OWN;
use crate::network::Network;
use crate::rig::{Queues, Rig, UNTOUCHED};

/// Turns in which a task comes to rest, whatever it has to do.
const MOST: usize = 100;

pub(crate) type Driver = <Mmio as RingPort>::Driver;

pub(crate) struct Looped {
    pub(crate) rig: Rig<Mmio>,
    runtime: LoopRuntime,
}

impl Looped {
    pub(crate) fn new(backend: impl NetBackend + 'static, change: impl FnOnce(NetBuilder) -> NetBuilder) -> Looped {
        let runtime = LoopRuntime::new().expect("a runtime");
        let net = change(Net::builder(backend).mac(MacAddress(OWN)).queue_size(16)).build().expect("a device");
        let (handle, memory) = (net.handle(), TestMemory::new(64 << 20));
        let host = DeviceHost::builder(net, memory.ram().clone(), Arc::new(runtime.clone()));
        // The rig's own runtime has nothing to do.
        let (idle, network) = (InlineRuntime::new(), Network::new(1));
        let rig = Rig { port: Mmio::connect(host), handle, memory, runtime: idle, network, header_len: 12 };
        Looped { rig, runtime }
    }

    /// Runs the tasks until they wait; how many turns that took.
    pub(crate) fn settle(&self) -> usize {
        let turns = (0..MOST).take_while(|_| self.runtime.turn()).count();
        assert!(turns < MOST, "there is no rest: {:?}", self.rig.handle.counts());
        turns
    }

    /// Runs the tasks when they have something to do, until `done`; in how many turns.
    pub(crate) fn until(&self, mut done: impl FnMut() -> bool) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        let mut turns = 0;
        while !done() {
            assert!(Instant::now() < end, "nothing comes of it: {:?}", self.rig.handle.counts());
            if self.runtime.turn() {
                turns += 1;
            } else {
                thread::yield_now();
            }
        }
        turns
    }

    /// Has a command executed.
    pub(crate) fn order(&self, queues: &mut Queues<Driver>, (class, command): Command, data: &[u8]) {
        let index = 2 * queues.rx.len() as u16;
        let control = queues.control.as_mut().expect("a control queue");
        let bytes = [&[class, command], data].concat();
        let (at, answer) = (self.rig.memory.place(&bytes), self.rig.memory.place(&[UNTOUCHED]));
        control
            .add(&[Buffer::readable(at, bytes.len() as u32), Buffer::writable(answer, 1)])
            .expect("room in the ring");
        control.kick(|| self.rig.port.notify(index));
        self.settle();
        assert!(control.used().is_some_and(|used| used.len == 1) && self.rig.memory.bytes(answer, 1) == [OK]);
    }

    /// Sends a frame; whether it went.
    pub(crate) fn send(&self, queues: &mut Queues<Driver>, header: &NetHeader, frame: &[u8]) -> bool {
        let bytes = self.rig.with_header(header, frame);
        let at = self.rig.memory.place(&bytes);
        queues.tx[0].add(&[Buffer::readable(at, bytes.len() as u32)]).expect("room in the ring");
        queues.tx[0].kick(|| self.rig.port.notify(1));
        self.settle();
        match queues.tx[0].used() {
            Some(used) => {
                assert_eq!(used.len, 0);
                true
            }
            None => false,
        }
    }

    /// The next frame, for which there is a buffer now; waited for.
    pub(crate) fn next(&self, queues: &mut Queues<Driver>) -> Vec<u8> {
        let at = self.rig.post(queues, 0, 2048);
        self.until(|| queues.rx[0].waiting() > 0);
        self.rig.got(queues, 0, at).expect("a frame").1
    }

    /// Whether the driver's link is up.
    pub(crate) fn is_up(&self) -> bool {
        self.rig.config(6) == [1, 0]
    }
}
