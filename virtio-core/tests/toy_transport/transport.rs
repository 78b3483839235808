//! A transport without registers: what the driver wants of the device is a message, and so is what it is told.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use virtio_core::host::{HostError, QueueConfig};
use virtio_core::{DeviceHost, DeviceType, Features, HostBuilder, Interrupt, TransportHooks};

/// From the driver to the device.
pub(crate) enum Request {
    /// What the device is, and what it offers.
    GetDevice,
    GetStatus,
    SetStatus(u8),
    SetFeatures(Features),
    ReadConfig {
        offset: u64,
        len: u16,
    },
    WriteConfig {
        offset: u64,
        bytes: Vec<u8>,
    },
    GetQueue(u16),
    SetQueue {
        queue: u16,
        size: u16,
        descriptor_area: u64,
        driver_area: u64,
        device_area: u64,
    },
    EnableQueue(u16),
    ResetQueue(u16),
    Kick(u16),
}

/// The answer of the device.
pub(crate) enum Reply {
    /// To what changes something.
    Done,
    Device {
        device_type: DeviceType,
        offered: Features,
        queues: u16,
    },
    Status(u8),
    Config {
        generation: u32,
        bytes: Vec<u8>,
    },
    Queue {
        max_size: u16,
        enabled: bool,
        resetting: bool,
    },
}

/// From the device to the driver, at any time.
pub(crate) enum Notice {
    /// Buffers of this queue were used.
    Used(u16),
    /// The configuration, or the device's need for a reset, has changed.
    Config,
    /// The device was reset: notices before this one mean nothing.
    Forget,
}

/// A device that is spoken to by messages.
pub(crate) struct MessageTransport {
    host: DeviceHost,
}

impl MessageTransport {
    pub(crate) fn new(host: HostBuilder, notices: Sender<Notice>) -> Result<MessageTransport, HostError> {
        Ok(MessageTransport { host: host.build(Features::RING_RESET, Arc::new(Notices(notices)))? })
    }

    pub(crate) fn host(&self) -> &DeviceHost {
        &self.host
    }

    pub(crate) fn answer(&self, request: Request) -> Reply {
        let host = &self.host;
        match request {
            Request::GetDevice => {
                let (device_type, offered, queues) = (host.device_type(), host.offered(), host.queue_count());
                return Reply::Device { device_type, offered, queues };
            }
            Request::GetStatus => return Reply::Status(host.status()),
            Request::SetStatus(status) => host.write_status(status),
            Request::SetFeatures(features) => (0..4).for_each(|word| host.write_features(word, features.word(word))),
            Request::ReadConfig { offset, len } => return self.read_config(offset, len),
            Request::WriteConfig { offset, bytes } => host.write_config(offset, &bytes),
            Request::GetQueue(queue) => {
                let (max_size, registers) = (host.queue_max_size(queue), host.queue(queue));
                let (enabled, resetting) =
                    registers.map_or((false, false), |queue| (queue.is_enabled(), queue.is_resetting()));
                return Reply::Queue { max_size, enabled, resetting };
            }
            Request::SetQueue { queue, size, descriptor_area, driver_area, device_area } => {
                let config = QueueConfig { size, descriptor_area, driver_area, device_area };
                host.configure_queue(queue, |registers| *registers = config);
            }
            Request::EnableQueue(queue) => host.enable_queue(queue),
            Request::ResetQueue(queue) => host.reset_queue(queue),
            Request::Kick(queue) => host.notify(queue),
        }
        Reply::Done
    }

    /// The bytes are those of the generation that is named: nothing changed while they were read.
    fn read_config(&self, offset: u64, len: u16) -> Reply {
        let mut bytes = vec![0; len.into()];
        loop {
            let generation = self.host.config_generation();
            self.host.read_config(offset, &mut bytes);
            if self.host.config_generation() == generation {
                return Reply::Config { generation, bytes };
            }
        }
    }
}

/// How the host reaches the driver.
struct Notices(Sender<Notice>);

impl Notices {
    fn send(&self, notice: Notice) {
        // Fails when there is no driver any more.
        let _ = self.0.send(notice);
    }
}

impl TransportHooks for Notices {
    fn queue_interrupt(&self, index: u16) -> Arc<dyn Interrupt> {
        let notices = Notices(self.0.clone());
        Arc::new(move || notices.send(Notice::Used(index)))
    }

    fn config_interrupt(&self) {
        self.send(Notice::Config);
    }

    /// What was told of the queue cannot be taken back: a driver that resets it looks past it.
    fn queue_reset(&self, _index: u16) {}

    fn reset(&self) {
        self.send(Notice::Forget);
    }
}
