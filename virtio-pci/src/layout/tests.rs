use super::*;

#[test]
fn structures_of_any_number_of_queues_fit_apart_from_each_other() {
    for queues in [0, 1, 1024, 1025, 40_000, u16::MAX] {
        for config in [0, 1, 4096, 4097, 64 << 10] {
            let Structures { common, isr, device, notify, size } = Structures::new(queues, config);
            for (one, next) in [(common, isr), (isr, device), (device, notify)] {
                assert!(one.end() <= next.offset && next.offset.is_multiple_of(PAGE));
            }
            assert!(u64::from(notify.end()) <= size && size.is_power_of_two());
            assert!(notify.len >= NOTIFY_MULTIPLIER * u32::from(queues).max(1));
        }
    }
}

#[test]
fn table_and_pending_bits_of_any_number_of_vectors_fit() {
    for vectors in [2, 64, 65, 256, 257, 2048] {
        let MsixLayout { table, pending, size } = MsixLayout::new(vectors);
        assert!(table.end() <= pending.offset && u64::from(pending.end()) <= size && size.is_power_of_two());
        assert!(u32::from(vectors) <= 8 * pending.len && pending.len.is_multiple_of(8));
    }
}

#[test]
fn a_region_covers_what_lies_in_it_wholly() {
    let region = Region { offset: 0x1000, len: 6 };
    assert!(region.covers(0x1000, 4) && region.covers(0x1002, 4) && region.covers(0x1005, 1));
    assert!(!region.covers(0x1004, 4) && !region.covers(0x1006, 1) && !region.covers(0xffe, 4));
    assert!(!region.covers(u32::MAX, 4));
    assert_eq!((region.within(0x1005), region.within(0x1006), region.within(0)), (Some(5), None, None));
}
