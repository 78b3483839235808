//! Base address registers and memory decoding.

use virtio_core::DeviceType;
use virtio_pci::BarWidth;

use crate::harness::*;

#[test]
fn pci_bus_01_a_bar_tells_its_size() {
    let harness = Harness::of(Idle::new(DeviceType::NET, 24, 1));
    for bar in [0u16, 2] {
        let at = 0x10 + 4 * bar;
        assert_eq!(harness.config(at, 4) & 0xf, 4, "64 bits of memory, not prefetchable");
        harness.set_config(at, 4, 0xffff_ffff);
        harness.set_config(at + 4, 4, 0xffff_ffff);
        let mask = (harness.config(at, 4) & !0xf) | harness.config(at + 4, 4) << 32;
        let size = harness.function.bars()[usize::from(bar) / 2].size;
        assert_eq!(mask, !(size - 1));
    }
    for at in [0x20, 0x24, 0x30] {
        harness.set_config(at, 4, 0xffff_ffff);
        assert_eq!(harness.config(at, 4), 0, "there is no BAR at {at:#x}");
    }
}

#[test]
fn pci_bus_01_narrow_bars_hold_32_bits() {
    let device = Idle::new(DeviceType::NET, 24, 1);
    let harness =
        Harness::build(device, |host| host, |builder, sent| with_msix(builder, sent).bar_width(BarWidth::Bits32));
    for at in [0x10, 0x18] {
        assert_eq!(harness.config(at, 4), 0);
        harness.set_config(at, 8, u64::MAX);
        assert_eq!(harness.config(at + 4, 4), 0);
    }
    harness.set_config(0x04, 1, 2);
    assert!(harness.function.bars().iter().all(|bar| !bar.enabled), "sizes are no addresses");
    harness.set_config(0x10, 4, 0xc000_0000);
    assert_eq!(harness.function.doorbell_addresses().len(), 1);
}

#[test]
fn pci_bus_01_a_bar_answers_while_memory_is_enabled_and_it_has_an_address() {
    let harness = Harness::of(Idle::new(DeviceType::NET, 24, 2));
    let write = |offset, value: u32| harness.function.write_config(offset, &value.to_le_bytes());
    assert_eq!(write(0x04, 2), [], "at zero nothing answers");
    assert_eq!(write(0x04, 0), []);
    for (offset, value) in [(0x10, BAR0), (0x14, BAR0 >> 32), (0x18, BAR2), (0x1c, BAR2 >> 32)] {
        assert_eq!(write(offset, value as u32), [], "nothing answers while decoding is off");
    }
    assert!(harness.function.doorbell_addresses().is_empty());

    let on = write(0x04, 6);
    let moves: Vec<_> = on.iter().map(|change| (change.bar, change.from, change.to)).collect();
    assert_eq!(moves, [(0, None, Some(BAR0)), (2, None, Some(BAR2))]);
    let notify = BAR0 + u64::from(harness.structure(NOTIFY_CFG).offset);
    let doorbells: Vec<_> = harness.function.doorbell_addresses().iter().map(|(at, site)| (*at, site.queue)).collect();
    assert_eq!(doorbells, [(notify, 0), (notify + 4, 1)]);

    let moved = write(0x10, 0x5000_0000);
    assert_eq!((moved[0].bar, moved[0].from, moved[0].to), (0, Some(BAR0), Some(0x1_5000_0000)));
    assert_eq!(harness.function.doorbell_addresses()[0].0, 0x1_5000_0000 + notify - BAR0);
    assert_eq!(write(0x10, 0x5000_0000), [], "nothing moves");

    // Sized while decoding is on: what is left in between is no address.
    assert_eq!(write(0x14, u32::MAX)[0].to, None);
    assert_eq!(write(0x14, 1)[0].to, Some(0x1_5000_0000));
    let off = write(0x04, 0);
    assert_eq!(off.iter().map(|change| change.to).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn pci_bus_01_a_reset_of_the_function_is_a_power_on() {
    let (harness, handle) = Harness::new(1);
    let fresh = Harness::of(Idle::new(DeviceType::ENTROPY, 16, 1)).config_bytes();
    harness.enable_msix();
    harness.go_live(0, 1);
    harness.set_config(0x04, 2, 0x406);
    let resets = handle.resets();
    let changes = harness.function.reset();
    assert_eq!(
        changes.iter().map(|change| (change.from, change.to)).collect::<Vec<_>>(),
        [(Some(BAR0), None), (Some(BAR2), None)]
    );
    assert_eq!(harness.config_bytes(), fresh);
    assert_eq!(handle.resets(), resets + 1);
    harness.place();
    let mut entry = [0; 16];
    harness.read(harness.table(), &mut entry);
    assert_eq!(entry, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], "masked");
    assert_eq!(harness.get(reg::STATUS), 0);
    let mut driver = harness.go_live(NO_VECTOR, NO_VECTOR);
    harness.complete_one(&mut driver);
    assert!(harness.pin(), "the pin is enabled");
}

#[test]
fn drv_pci_01_bars_are_defined_everywhere_at_any_width() {
    let (harness, _) = Harness::new(3);
    harness.go_live(NO_VECTOR, NO_VECTOR);
    for bar in harness.function.bars() {
        let interesting = (0..bar.size).filter(|at| at % 4096 < 80 || at % 4096 > 4084);
        for at in interesting.chain([bar.size, u64::from(u32::MAX), u64::MAX - 3, u64::MAX]) {
            for len in [1, 2, 3, 4, 8, 16] {
                harness.function.read_bar(bar.bar, at, &mut [0xee; 16][..len]);
                // All but the status, which would start a reset or the device each time.
                if bar.bar != 0 || at > 0x14 {
                    harness.function.write_bar(bar.bar, at, &[0xff; 16][..len]);
                }
            }
        }
        harness.function.read_bar(bar.bar, 0, &mut []);
        harness.function.write_bar(bar.bar, 0, &[]);
    }
    let mut data = [0xee; 4];
    harness.function.read_bar(5, 0, &mut data);
    harness.function.write_bar(5, 0, &data);
    assert_eq!(data, [0; 4], "no such BAR");
    harness.function.read_bar(0, harness.function.bars()[0].size, &mut data);
    assert_eq!(data, [0; 4]);
}
