//! Doorbells.

use virtio_core::host::status::DRIVER_OK;
use virtio_core::testing::{RingDriver, SplitDriver, TestDevice};
use virtio_core::{DeviceType, Features};

use crate::harness::*;

// spec: PCI-NOTIFY-03 PCI-NOTIFY-06 PCI-NOTIFY-07
#[test]
fn pci_notify_02_the_doorbells_are_aligned() {
    let (harness, _) = Harness::new(1);
    let notify = harness.structure(NOTIFY_CFG);
    let multiplier = harness.config(notify.at + 16, 4);
    assert!(multiplier.is_power_of_two() && multiplier.is_multiple_of(4));
    assert_eq!(notify.offset % 4, 0);
}

// spec: PCI-NOTIFY-05 PCI-NOTIFY-08 PCI-NOTIFY-09
#[test]
fn pci_notify_04_there_is_room_for_each_doorbell() {
    for queues in [0usize, 1, 5, 200] {
        let harness = Harness::of(Idle::new(DeviceType::NET, 24, queues));
        harness.place();
        let notify = harness.structure(NOTIFY_CFG);
        let multiplier = harness.config(notify.at + 16, 4);
        assert!(notify.length >= 4);
        for queue in [0, queues / 2, queues.saturating_sub(1)] {
            harness.set(reg::QUEUE_SELECT, queue as u64);
            assert!(u64::from(notify.length) >= harness.get(reg::QUEUE_NOTIFY_OFF) * multiplier + 4);
        }
    }
}

// spec: DRV-PCI-17
#[test]
fn drv_pci_17_the_place_alone_says_which_queue_is_rung() {
    let (harness, _) = Harness::new(3);
    let events: Vec<_> = harness.function.doorbells().into_iter().map(|site| site.event).collect();
    let rung = || events.iter().map(|event| event.take() != 0).collect::<Vec<_>>();
    let doorbell = harness.doorbell(1);
    for data in [&[1][..], &[1, 0], &[0, 0], &[0xff, 0xff], &[2, 0, 0x34, 0x12], &[0; 8]] {
        harness.write(doorbell, data);
        assert_eq!(rung(), [false, true, false], "{data:?}");
    }
    harness.write(doorbell + 2, &[1, 0]);
    assert_eq!(rung(), [false, true, false]);
    let mut data = [0xee; 4];
    harness.read(doorbell, &mut data);
    assert_eq!((data, rung()), ([0; 4], vec![false; 3]), "reading rings nothing");
    for stray in [doorbell + 8, doorbell + 64] {
        harness.write(stray, &[3, 0]);
    }
    assert_eq!(rung(), [false; 3], "nobody's places");
}

#[test]
fn drv_pci_17_a_doorbell_without_work_is_harmless() {
    let (harness, _) = Harness::new(2);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.kick(1);
    harness.kick(0);
    harness.runtime.poll();
    assert_eq!(driver.used(), None);
    harness.complete_one(&mut driver);
}

#[test]
fn drv_pci_18_a_flood_of_doorbells_is_one() {
    let (harness, handle) = Harness::new(2);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.runtime.poll();
    harness.request(&mut driver);
    let doorbell = harness.doorbell(0);
    for _ in 0..10_000 {
        harness.write(doorbell, &[0, 0]);
    }
    let before = handle.runs();
    harness.runtime.poll();
    assert!(handle.runs() - before < 10, "{} runs", handle.runs() - before);
    assert!(driver.used().is_some());
    assert_eq!(harness.get(reg::NUM_QUEUES), 2, "registers answer");
}

#[test]
fn pci_notify_04_published_sites_are_where_the_driver_rings() {
    let (harness, _) = Harness::new(4);
    harness.negotiate(Features::NONE);
    let sites = harness.function.doorbell_addresses();
    assert_eq!(sites.len(), 4);
    for (address, site) in sites {
        assert_eq!(address, harness.doorbell(site.queue));
        assert_eq!((site.width, site.datamatch), (None, None));
        // As the hypervisor does it.
        site.event.signal();
        assert_ne!(harness.function.host().doorbell(site.queue).unwrap().take(), 0);
    }
}

/// A function whose device offers more, with doorbells whose data are nothing like the queues' numbers.
fn offering(features: Features) -> Harness {
    let (device, _) = TestDevice::new(3);
    let harness = Harness::build(
        device,
        |host| host.with(features),
        |builder, sent| with_msix(builder, sent).notify_config_data(|queue| 0xbe00 - 7 * queue),
    );
    harness.place();
    harness
}

/// Queue 0 serves a request when its doorbell is written with `data`.
fn rings(harness: &Harness, driver: &mut SplitDriver, data: &[u8]) -> bool {
    harness.request(driver);
    harness.write(harness.doorbell(0), data);
    harness.runtime.poll();
    driver.used().is_some()
}

// spec: DRV-PACKED-04 PCI-NOTIFY-06 PCI-NOTIFY-09
#[test]
fn basic_notf_02_doorbells_with_data_ring_their_queue() {
    let harness = offering(Features::NOTIFICATION_DATA);
    assert!(harness.offered().contains(Features::NOTIFICATION_DATA));
    let notify = harness.structure(NOTIFY_CFG);
    let multiplier = harness.config(notify.at + 16, 4);
    assert!(multiplier.is_multiple_of(4) && multiplier.is_power_of_two() && notify.offset.is_multiple_of(4));
    assert!(u64::from(notify.length) >= 2 * multiplier + 4);
    for features in [Features::NOTIFICATION_DATA, Features::NONE] {
        harness.negotiate(features);
        let mut driver = harness.enable_queue(0, NO_VECTOR);
        harness.set_status(DRIVER_OK);
        // 32 bits with the truth, with nonsense, and 16 bits as without the feature.
        for data in [&[0, 0, 1, 0][..], &[0, 0, 0xff, 0xff], &[9, 9, 9, 9], &[0, 0]] {
            assert!(rings(&harness, &mut driver, data), "{data:?}");
        }
        // The places of others.
        harness.request(&mut driver);
        harness.write(harness.doorbell(1), &[0, 0, 1, 0]);
        harness.runtime.poll();
        assert_eq!(driver.used(), None);
        assert_eq!(harness.function.doorbells().len(), 3);
    }
}

#[test]
fn pci_common_21_doorbells_carry_the_data_of_their_queue() {
    let harness = offering(Features::NOTIFICATION_DATA | Features::NOTIF_CONFIG_DATA);
    harness.set(reg::QUEUE_SELECT, 1);
    assert_eq!(harness.get(reg::NOTIF_CONFIG_DATA), 0, "not before it is negotiated");
    for features in [Features::NOTIF_CONFIG_DATA, Features::NOTIF_CONFIG_DATA | Features::NOTIFICATION_DATA] {
        harness.negotiate(features);
        let mut driver = harness.enable_queue(0, NO_VECTOR);
        harness.set_status(DRIVER_OK);
        for queue in 0..3 {
            harness.set(reg::QUEUE_SELECT, queue);
            assert_eq!(harness.get(reg::NOTIF_CONFIG_DATA), 0xbe00 - 7 * queue);
            harness.set(reg::NOTIF_CONFIG_DATA, 1);
            assert_eq!(harness.get(reg::NOTIF_CONFIG_DATA), 0xbe00 - 7 * queue, "the driver only reads it");
        }
        harness.set(reg::QUEUE_SELECT, 3);
        assert_eq!(harness.get(reg::NOTIF_CONFIG_DATA), 0, "no such queue");
        let data: &[u8] = if features.contains(Features::NOTIFICATION_DATA) { &[0, 0xbe, 1, 0] } else { &[0, 0xbe] };
        assert!(rings(&harness, &mut driver, data));
    }
    harness.negotiate(Features::NONE);
    harness.set(reg::QUEUE_SELECT, 1);
    assert_eq!(harness.get(reg::NOTIF_CONFIG_DATA), 0);
}
