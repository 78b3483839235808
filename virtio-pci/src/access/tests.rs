use super::*;

#[test]
fn an_access_reads_the_bytes_that_it_shares_with_the_register() {
    for (offset, expected) in [(2, [0xaa, 0xaa, 0x11]), (4, [0x11, 0x22, 0x33]), (6, [0x33, 0x44, 0xaa])] {
        let mut data = [0xaa; 3];
        read(4, 4, 0x4433_2211, offset, &mut data);
        assert_eq!(data, expected, "at {offset}");
    }
    let mut data = [0xaa; 2];
    read(4, 4, 0x4433_2211, 8, &mut data);
    assert_eq!(data, [0xaa; 2]);
}

#[test]
fn a_write_replaces_only_the_bytes_that_it_covers() {
    assert_eq!(merge(4, 4, 0x4433_2211, 5, &[0xbb]), 0x4433_bb11);
    assert_eq!(merge(4, 4, 0x4433_2211, 2, &[0xbb; 3]), 0x4433_22bb);
    assert_eq!(merge(4, 2, 0x2211, 4, &[0xbb; 8]), 0xbbbb);
    assert_eq!(merge(4, 4, 0x4433_2211, 8, &[0xbb; 8]), 0x4433_2211);
}

#[test]
fn touching_is_sharing_a_byte() {
    assert!(touches(4, 2, 5, 1) && touches(4, 2, 0, 5) && touches(4, 2, 0, 100));
    assert!(!touches(4, 2, 6, 1) && !touches(4, 2, 0, 4) && !touches(4, 2, 4, 0));
    assert!(!touches(4, 2, u64::MAX, 8));
}
