//! Message-signalled interrupts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use virtio_core::host::status::DRIVER_OK;
use virtio_core::testing::{RingDriver, TestDevice, TestMemory};
use virtio_core::{DeviceHost, DeviceType, Event, Features, InlineRuntime};
use virtio_pci::{BuildError, MessageVector, SentVector, VirtioPci};

use crate::harness::*;

fn vectors(harness: &Harness) -> u64 {
    (harness.config(harness.msix_capability() + 2, 2) & 0x7ff) + 1
}

// spec: PCI-MSIX-02 PCI-MSIX-03
#[test]
fn pci_msix_01_there_is_a_vector_for_each_queue_and_the_configuration() {
    for (queues, expected) in [(0, 2), (1, 2), (3, 4), (200, 201)] {
        let harness = Harness::of(Idle::new(DeviceType::NET, 24, queues));
        assert_eq!(vectors(&harness), expected, "{queues} queues");
        harness.place();
        harness.set(reg::CONFIG_VECTOR, expected - 1);
        assert_eq!(harness.get(reg::CONFIG_VECTOR), expected - 1);
        let bar = harness.function.bars()[1];
        assert!(harness.table() + 16 * expected <= bar.address + bar.size);
    }
    for count in [0, 1, 2049] {
        let memory = TestMemory::new(1 << 16);
        let host = DeviceHost::builder(
            Idle::new(DeviceType::NET, 24, 3),
            memory.ram().clone(),
            Arc::new(InlineRuntime::new()),
        );
        let refused = VirtioPci::builder(host).msix(|_| Err(io::ErrorKind::Other.into())).vectors(count).build();
        assert!(matches!(refused, Err(BuildError::VectorCount(_))), "{count}");
    }
}

#[test]
fn pci_msix_02_a_vector_that_cannot_be_made_is_an_error() {
    let memory = TestMemory::new(1 << 16);
    let host =
        DeviceHost::builder(Idle::new(DeviceType::NET, 24, 3), memory.ram().clone(), Arc::new(InlineRuntime::new()));
    let refused = VirtioPci::builder(host).msix(|_| Err(io::ErrorKind::Other.into())).build();
    assert!(matches!(refused, Err(BuildError::Vector(_))));
}

// spec: PCI-MSIX-06 PCI-MSIX-08
#[test]
fn pci_msix_04_any_event_can_have_any_vector() {
    let (harness, handle) = Harness::new(3);
    harness.enable_msix();
    harness.negotiate(Features::NONE);
    let mut drivers: Vec<_> = (0..3).map(|queue| harness.enable_queue(queue, NO_VECTOR)).collect();
    harness.set_status(DRIVER_OK);
    for vector in 0..vectors(&harness) {
        let expected = message(vector as u16);
        harness.set(reg::CONFIG_VECTOR, vector);
        assert_eq!(harness.get(reg::CONFIG_VECTOR), vector);
        handle.config().update(|bytes| bytes[0] = bytes[0].wrapping_add(1));
        assert_eq!(harness.sent.take(), [expected]);
        for (queue, driver) in (0..).zip(&mut drivers) {
            harness.set(reg::QUEUE_SELECT, queue.into());
            harness.set(reg::QUEUE_VECTOR, vector);
            assert_eq!(harness.get(reg::QUEUE_VECTOR), vector);
            harness.request(driver);
            harness.kick(queue);
            harness.runtime.poll();
            assert_eq!(harness.sent.take(), [expected], "queue {queue}");
        }
    }
}

// spec: PCI-MSIX-06
#[test]
fn pci_msix_05_any_event_can_be_unmapped() {
    let (harness, handle) = Harness::new(1);
    harness.enable_msix();
    let mut driver = harness.go_live(0, 1);
    harness.set(reg::CONFIG_VECTOR, NO_VECTOR);
    harness.set(reg::QUEUE_VECTOR, NO_VECTOR);
    assert_eq!((harness.get(reg::CONFIG_VECTOR), harness.get(reg::QUEUE_VECTOR)), (NO_VECTOR, NO_VECTOR));
    harness.complete_one(&mut driver);
    handle.config().update(|bytes| bytes[0] += 1);
    assert_eq!(harness.sent.take(), []);
}

#[test]
fn pci_msix_07_a_reset_unmaps_everything_and_forgets_what_pends() {
    let (harness, _) = Harness::new(2);
    assert_eq!(harness.get(reg::CONFIG_VECTOR), NO_VECTOR, "and so it starts");
    assert_eq!(harness.get(reg::QUEUE_VECTOR), NO_VECTOR);
    harness.enable_msix();
    let mut driver = harness.go_live(0, 1);
    harness.set_entry(1, message(1), true);
    harness.complete_one(&mut driver);
    assert_eq!(harness.pending_bits(), 2);
    harness.set(reg::STATUS, 0);
    assert_eq!(harness.get(reg::CONFIG_VECTOR), NO_VECTOR);
    for queue in 0..2 {
        harness.set(reg::QUEUE_SELECT, queue);
        assert_eq!(harness.get(reg::QUEUE_VECTOR), NO_VECTOR);
    }
    assert_eq!(harness.pending_bits(), 0);
    harness.set_entry(1, message(1), false);
    assert_eq!(harness.sent.take(), []);
    assert_eq!(harness.config(harness.msix_capability() + 2, 2) & 0x8000, 0x8000, "the PCI side stays");
}

// spec: DRV-PCI-15
#[test]
fn pci_msix_09_a_vector_that_is_not_in_the_table_reads_back_as_none() {
    let (harness, _) = Harness::new(1);
    let count = vectors(&harness);
    for vector in [count, count + 1, 0x7ff, 0x800, 0x8000, 0xfffe] {
        harness.set(reg::CONFIG_VECTOR, 0);
        harness.set(reg::QUEUE_VECTOR, 1);
        harness.set(reg::CONFIG_VECTOR, vector);
        harness.set(reg::QUEUE_VECTOR, vector);
        assert_eq!((harness.get(reg::CONFIG_VECTOR), harness.get(reg::QUEUE_VECTOR)), (NO_VECTOR, NO_VECTOR));
    }
    let (harness, _) = Harness::without_msix(1);
    harness.set(reg::CONFIG_VECTOR, 0);
    assert_eq!(harness.get(reg::CONFIG_VECTOR), NO_VECTOR, "there is no table at all");
}

#[test]
fn drv_pci_16_what_is_signalled_while_masked_pends_and_fires_once() {
    type Gate = fn(&Harness, bool);
    let entry: Gate = |harness, masked| harness.set_entry(1, message(1), masked);
    let function: Gate = |harness, masked| harness.set_msix_control(if masked { 0xc000 } else { 0x8000 });
    for gate in [entry, function] {
        let (harness, _) = Harness::new(1);
        harness.enable_msix();
        let mut driver = harness.go_live(0, 1);
        gate(&harness, true);
        harness.complete_one(&mut driver);
        harness.complete_one(&mut driver);
        assert_eq!((harness.sent.take(), harness.pending_bits()), (vec![], 2));
        gate(&harness, false);
        assert_eq!((harness.sent.take(), harness.pending_bits()), (vec![message(1)], 0));
        harness.complete_one(&mut driver);
        assert_eq!(harness.sent.take(), [message(1)]);
    }
}

#[test]
fn drv_pci_16_a_masked_entry_can_be_rewritten_and_what_pends_goes_to_the_new_place() {
    let (harness, _) = Harness::new(1);
    harness.enable_msix();
    let mut driver = harness.go_live(0, 1);
    harness.set_entry(1, message(1), true);
    harness.complete_one(&mut driver);
    harness.set_entry(1, (0xfee0_2000, 0x77), false);
    assert_eq!(harness.sent.take(), [(0xfee0_2000, 0x77)]);
    // Also while it is unmasked, in one access for the whole entry.
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&0xfee0_3000u64.to_le_bytes());
    bytes[8] = 0x78;
    harness.write(harness.table() + 16, &bytes);
    harness.complete_one(&mut driver);
    assert_eq!(harness.sent.take(), [(0xfee0_3000, 0x78)]);
}

#[test]
fn drv_pci_16_disabled_while_mapped_the_pin_takes_over() {
    let (harness, _) = Harness::new(1);
    harness.enable_msix();
    let mut driver = harness.go_live(0, 1);
    harness.set_msix_control(0);
    harness.complete_one(&mut driver);
    assert_eq!((harness.sent.take(), harness.pin()), (vec![], true));
    harness.set_msix_control(0x8000);
    assert!(!harness.pin(), "with messages the pin is not used");
    harness.complete_one(&mut driver);
    assert_eq!(harness.sent.take(), [message(1)], "entries stay");
}

#[test]
fn drv_pci_16_table_and_pending_bits_under_odd_accesses() {
    let (harness, _) = Harness::new(1);
    let table = harness.table();
    harness.set_entry(1, (0xffff_ffff_ffff_ffff, 0x1234_5678), true);
    let mut entry = [0; 16];
    harness.read(table + 16, &mut entry);
    assert_eq!(entry[..8], 0xffff_ffff_ffff_fffcu64.to_le_bytes(), "messages are aligned");
    assert_eq!(entry[8..], [0x78, 0x56, 0x34, 0x12, 1, 0, 0, 0]);
    for at in 0..32usize {
        for len in 1..=8 {
            let mut part = [0xee; 8];
            harness.read(table + at as u64, &mut part[..len]);
            let mut whole = [0; 48];
            harness.read(table, &mut whole[..32]);
            assert_eq!(part[..len], whole[at..at + len], "{len} at {at}");
        }
    }
    harness.write(table + 16 + 8, &[0xaa]);
    harness.write(table + 16 + 11, &[0xbb, 0xff, 0xff, 0xff, 0xff]);
    harness.read(table + 16, &mut entry);
    assert_eq!(entry[8..], [0xaa, 0x56, 0x34, 0xbb, 1, 0, 0, 0], "only the mask of the vector control can be written");
    // The pending bits are read-only, and there is nothing behind the last entry.
    let bits = harness.function.bars()[1].address + harness.config(harness.msix_capability() + 8, 4) - 2;
    harness.write(bits, &[0xff; 8]);
    assert_eq!(harness.pending_bits(), 0);
    harness.write(table + 32, &[0xff; 16]);
    harness.read(table + 32, &mut entry);
    assert_eq!(entry, [0; 16]);
    harness.write(table + 31, &[0xff; 16]);
    assert_eq!(harness.sent.take(), []);
}

/// A vector as a hypervisor with eventfds has it, without the hypervisor.
struct Irqfd {
    event: Event,
    refuse: Arc<AtomicBool>,
    attached: Arc<AtomicBool>,
}

impl MessageVector for Irqfd {
    fn route(&self, _address: u64, _data: u32) -> io::Result<()> {
        if self.refuse.load(Ordering::SeqCst) { Err(io::ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }

    fn mask(&self) {
        self.attached.store(false, Ordering::SeqCst);
    }

    fn unmask(&self) {
        self.attached.store(true, Ordering::SeqCst);
    }

    fn signal(&self) {
        self.event.signal();
    }

    fn is_pending(&self) -> bool {
        false
    }

    fn clear(&self) {
        self.event.take();
    }

    fn event(&self) -> Option<Event> {
        Some(self.event.clone())
    }
}

#[test]
fn drv_pci_16_a_vector_without_route_stays_masked_until_it_has_one() {
    let (refuse, attached) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let (device, _) = TestDevice::new(1);
    let parts = (refuse.clone(), attached.clone());
    let harness = Harness::build(
        device,
        |host| host,
        |builder, _| {
            builder.msix(move |_| {
                let (refuse, attached) = parts.clone();
                Ok(Arc::new(Irqfd { event: Event::new()?, refuse, attached }) as Arc<dyn MessageVector>)
            })
        },
    );
    harness.place();
    harness.set_msix_control(0x8000);
    harness.set_entry(0, message(0), false);
    assert!(!attached.load(Ordering::SeqCst));
    assert_eq!(harness.function.counts().route_failures, 1);
    refuse.store(false, Ordering::SeqCst);
    harness.set_entry(0, message(0), false);
    assert!(attached.load(Ordering::SeqCst));
    assert_eq!(harness.function.counts().route_failures, 1);
    refuse.store(true, Ordering::SeqCst);
    harness.set_entry(0, message(1), false);
    assert!(!attached.load(Ordering::SeqCst), "not the old route either");
}

#[test]
fn drv_pci_16_no_wake_up_is_lost_between_threads() {
    let (messages, received) = std::sync::mpsc::channel();
    let (device, _) = TestDevice::new(1);
    let memory = TestMemory::new(1 << 20);
    let host = DeviceHost::builder(device, memory.ram().clone(), Arc::new(virtio_core::ThreadRuntime::new()));
    let harness = Harness::hosting(host, memory, InlineRuntime::new(), |builder, _| {
        builder.msix(move |_| {
            let messages = messages.clone();
            let send = move |_, data| messages.send(data).unwrap_or_default();
            Ok(Arc::new(SentVector::new(send)) as Arc<dyn MessageVector>)
        })
    });
    harness.place();
    harness.enable_msix();
    let mut driver = harness.go_live(0, 1);
    for _ in 0..300 {
        harness.set_entry(1, message(1), true);
        harness.request(&mut driver);
        harness.kick(0);
        harness.set_entry(1, message(1), false);
        // Some come from the task, some from the unmasking.
        assert_eq!(received.recv_timeout(Duration::from_secs(30)), Ok(message(1).1));
        assert!(driver.used().is_some());
    }
}
