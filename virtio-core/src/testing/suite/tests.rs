//! The suite over no transport at all, and the suite's own completeness.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::Port;
use crate::device::StateError;
use crate::features::Features;
use crate::host::TransportHooks;
use crate::host::{DeviceHost, HostBuilder, HostState};
use crate::interrupt::Interrupt;

/// A transport whose registers are the host's methods.
struct Direct {
    host: DeviceHost,
    flags: Arc<Flags>,
}

#[derive(Default)]
struct Flags {
    used: AtomicBool,
    config: AtomicBool,
}

struct DirectInterrupts(Arc<Flags>);

impl TransportHooks for DirectInterrupts {
    fn queue_interrupt(&self, _index: u16) -> Arc<dyn Interrupt> {
        let flags = self.0.clone();
        Arc::new(move || flags.used.store(true, SeqCst))
    }

    fn config_interrupt(&self) {
        self.0.config.store(true, SeqCst);
    }

    fn queue_reset(&self, _index: u16) {}

    fn reset(&self) {
        self.0.used.store(false, SeqCst);
        self.0.config.store(false, SeqCst);
    }
}

impl Port for Direct {
    type State = HostState;

    fn connect(host: HostBuilder) -> Direct {
        let flags = Arc::<Flags>::default();
        Direct { host: host.build(Features::RING_RESET, Arc::new(DirectInterrupts(flags.clone()))).unwrap(), flags }
    }

    fn host(&self) -> &DeviceHost {
        &self.host
    }

    fn status(&self) -> u8 {
        self.host.status()
    }

    fn set_status(&self, status: u8) {
        self.host.write_status(status);
    }

    fn offered(&self, word: u32) -> u32 {
        self.host.offered().word(word)
    }

    fn accept(&self, word: u32, value: u32) {
        self.host.write_features(word, value);
    }

    fn generation(&self) -> u32 {
        self.host.config_generation()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        self.host.read_config(offset, data);
    }

    fn write_config(&self, offset: u64, data: &[u8]) {
        self.host.write_config(offset, data);
    }

    fn queue_max(&self, queue: u16) -> u16 {
        self.host.queue_max_size(queue)
    }

    fn set_queue(&self, queue: u16, size: u16, areas: (u64, u64, u64)) {
        self.host.configure_queue(queue, |config| {
            config.size = size;
            (config.descriptor_area, config.driver_area, config.device_area) = areas;
        });
    }

    fn enable(&self, queue: u16) {
        self.host.enable_queue(queue);
    }

    fn is_enabled(&self, queue: u16) -> bool {
        self.host.queue(queue).is_some_and(|queue| queue.is_enabled())
    }

    fn reset_queue(&self, queue: u16) {
        self.host.reset_queue(queue);
    }

    fn is_resetting(&self, queue: u16) -> bool {
        self.host.queue(queue).is_some_and(|queue| queue.is_resetting())
    }

    fn notify(&self, queue: u16) {
        self.host.notify(queue);
    }

    fn hold_interrupts(&self) {}

    fn take_interrupts(&self) -> (bool, bool) {
        (self.flags.used.swap(false, SeqCst), self.flags.config.swap(false, SeqCst))
    }

    fn save(&self) -> Result<HostState, StateError> {
        self.host.save()
    }

    fn restore(&self, state: &HostState) -> Result<(), StateError> {
        self.host.restore(state)
    }
}

crate::conformance_suite!(direct: Direct);

#[test]
fn every_rule_of_the_suite_is_in_its_list() {
    let list = include_str!("mod.rs");
    let rules = [
        include_str!("basic.rs"),
        include_str!("ring.rs"),
        include_str!("hostile.rs"),
        include_str!("queue_reset.rs"),
        include_str!("packed.rs"),
        include_str!("packed_hostile.rs"),
        include_str!("split.rs"),
        include_str!("split_hostile.rs"),
    ];
    for rule in rules.iter().flat_map(|source| source.split("\npub fn ").skip(1)) {
        let name = rule.split('<').next().unwrap();
        assert!(list.contains(&format!(" {name},")), "{name} is not run");
    }
}
