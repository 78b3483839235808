use super::super::super::{BlockBackend, RangeLimits, Topology};
use super::super::limits::topology;
use super::super::{FileBackend, FileOptions};
use super::{Image, folders, pattern};

#[test]
fn sizes_become_blocks() {
    let plain = |physical_block_exp| Topology { physical_block_exp, ..Topology::default() };
    assert_eq!(topology(512, 512, 0, 0, 0), plain(0));
    assert_eq!(topology(512, 4096, 0, 0, 0), plain(3));
    assert_eq!(topology(4096, 4096, 0, 0, 0), plain(0));
    let all = Topology { physical_block_exp: 3, alignment_offset: 7, min_io_size: 8, opt_io_size: 2048 };
    assert_eq!(topology(512, 4096, 4096, 1 << 20, 3584), all);
}

#[test]
fn sizes_that_make_no_sense_are_left_out() {
    assert_eq!(topology(4096, 512, 512, 512, 512), Topology::default());
    assert_eq!(topology(512, 1536, 0, 0, 0), Topology::default());
    assert_eq!(topology(512, 0, 1 << 31, 0, 1 << 31), Topology::default());
    assert_eq!(topology(0, 512, 512, 512, 512), Topology::default());
}

#[test]
fn an_image_says_what_it_can_do() {
    for folder in folders() {
        let image = Image::under(&folder, &pattern(9 * 512, 1));
        let before = image.file().metadata().expect("the image").len();
        let can = FileBackend::open(&image.0).expect("an image").capabilities();
        assert_eq!(image.file().metadata().expect("the image").len(), before);
        assert!(image.content() == pattern(9 * 512, 1));
        assert_eq!((can.block_size, can.topology, can.secure_erase, can.merge), (512, None, None, true));
        assert_eq!(can.write_zeroes, Some(RangeLimits { max_len: 128 << 20, alignment: 4096 }));
        if can.zeroes_may_unmap {
            assert_eq!(can.discard, Some(RangeLimits { max_len: 1 << 30, alignment: 4096 }));
        } else {
            assert_eq!(can.discard, None);
        }
        let can = FileBackend::open_read_only(&image.0).expect("an image").capabilities();
        assert_eq!((can.discard, can.write_zeroes, can.zeroes_may_unmap, can.read_only), (None, None, false, true));
    }
}

#[test]
fn direct_io_shows_its_blocks_as_physical_ones() {
    let image = Image::new(&pattern(65536, 1));
    let Ok(backend) = FileOptions::new().direct(true).open(&image.0) else {
        return super::left_out("the folder for temporary files has no direct I/O");
    };
    let can = backend.capabilities();
    let topology = can.topology.expect("a topology");
    let offset = backend.disk().direct().expect("direct I/O").offset;
    assert_eq!(can.block_size, 512);
    assert_eq!(512 << topology.physical_block_exp, offset);
    assert_eq!(u32::from(topology.min_io_size) * 512, offset);
}
