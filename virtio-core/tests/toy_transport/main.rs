//! The suite of rules, over a transport that is about as small as one can be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod transport;

use std::cell::Cell;
use std::sync::mpsc::{Receiver, channel};

use virtio_core::device::StateError;
use virtio_core::host::{HostError, HostState};
use virtio_core::testing::suite::{Port, World};
use virtio_core::testing::{SplitDriver, TestDevice};
use virtio_core::{DeviceHost, DeviceType, Features, HostBuilder};

use transport::{MessageTransport, Notice, Reply, Request};

/// A driver that knows nothing but messages.
struct MessagePort {
    transport: MessageTransport,
    notices: Receiver<Notice>,
    /// What `accept` was called with.
    accepted: Cell<Features>,
}

impl MessagePort {
    fn device(&self) -> (DeviceType, Features, u16) {
        match self.transport.answer(Request::GetDevice) {
            Reply::Device { device_type, offered, queues } => (device_type, offered, queues),
            _ => panic!("another answer"),
        }
    }

    fn config(&self, offset: u64, len: u16) -> (u32, Vec<u8>) {
        match self.transport.answer(Request::ReadConfig { offset, len }) {
            Reply::Config { generation, bytes } => (generation, bytes),
            _ => panic!("another answer"),
        }
    }

    fn queue(&self, queue: u16) -> (u16, bool, bool) {
        match self.transport.answer(Request::GetQueue(queue)) {
            Reply::Queue { max_size, enabled, resetting } => (max_size, enabled, resetting),
            _ => panic!("another answer"),
        }
    }

    fn does(&self, request: Request) {
        assert!(matches!(self.transport.answer(request), Reply::Done));
    }
}

impl Port for MessagePort {
    type State = HostState;

    fn connect(host: HostBuilder) -> MessagePort {
        let (sender, notices) = channel();
        let transport = MessageTransport::new(host, sender).unwrap();
        MessagePort { transport, notices, accepted: Cell::new(Features::NONE) }
    }

    fn host(&self) -> &DeviceHost {
        self.transport.host()
    }

    fn status(&self) -> u8 {
        match self.transport.answer(Request::GetStatus) {
            Reply::Status(status) => status,
            _ => panic!("another answer"),
        }
    }

    fn set_status(&self, status: u8) {
        self.does(Request::SetStatus(status));
    }

    fn offered(&self, word: u32) -> u32 {
        self.device().1.word(word)
    }

    fn accept(&self, word: u32, value: u32) {
        self.accepted.set(self.accepted.get().with_word(word, value));
        self.does(Request::SetFeatures(self.accepted.get()));
    }

    fn generation(&self) -> u32 {
        self.config(0, 0).0
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        data.copy_from_slice(&self.config(offset, data.len() as u16).1);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.does(Request::WriteConfig { offset, bytes: data.to_vec() });
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.queue(queue).0
    }

    fn set_queue(&self, queue: u16, size: u16, areas: (u64, u64, u64)) {
        let (descriptor_area, driver_area, device_area) = areas;
        self.does(Request::SetQueue { queue, size, descriptor_area, driver_area, device_area });
    }

    fn enable(&self, queue: u16) {
        self.does(Request::EnableQueue(queue));
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.queue(queue).1
    }

    fn reset_queue(&self, queue: u16) {
        self.does(Request::ResetQueue(queue));
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.queue(queue).2
    }

    fn notify(&self, queue: u16) {
        self.does(Request::Kick(queue));
    }

    fn hold_interrupts(&self) {}

    fn take_interrupts(&self) -> (bool, bool) {
        self.notices.try_iter().fold((false, false), |(used, config), notice| match notice {
            Notice::Used(_) => (true, config),
            Notice::Config => (used, true),
            Notice::Forget => (false, false),
        })
    }

    fn save(&self) -> Result<HostState, StateError> {
        self.transport.host().save()
    }

    fn restore(&self, state: &HostState) -> Result<(), StateError> {
        self.transport.host().restore(state)
    }
}

virtio_core::conformance_suite!(messages: MessagePort);

#[test]
fn what_takes_a_transports_part_is_offered_only_where_it_can() {
    let world = World::<MessagePort, SplitDriver>::new();
    for features in [Features::NOTIFICATION_DATA, Features::NOTIF_CONFIG_DATA, Features::ADMIN_VQ, Features::SR_IOV] {
        let refused = MessageTransport::new(world.another().0.with(features), channel().0);
        assert!(matches!(refused, Err(HostError::Features(refused)) if refused == features));
    }
}

#[test]
fn a_driver_learns_what_there_is() {
    let world = World::<MessagePort, SplitDriver>::new();
    let (device_type, offered, queues) = world.port.device();
    assert_eq!(queues, 2);
    assert!(offered.contains(TestDevice::ALPHA | Features::VERSION_1));
    assert_eq!(device_type, world.port.host().device_type());
}

#[test]
fn every_queue_has_notices_of_its_own() {
    let world = World::<MessagePort, SplitDriver>::new();
    assert!(world.negotiate(Features::VERSION_1));
    let mut drivers = [0, 1].map(|queue| world.enable(queue, 16, Features::VERSION_1));
    world.go();
    for (queue, driver) in drivers.iter_mut().enumerate() {
        world.request(driver, b"mine");
        world.port.notify(queue as u16);
        world.runtime.poll();
        let notices: Vec<_> = world.port.notices.try_iter().collect();
        assert!(matches!(notices[..], [Notice::Used(index)] if usize::from(index) == queue));
    }
}
