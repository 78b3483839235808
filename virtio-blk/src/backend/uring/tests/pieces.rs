//! Which pieces go with one request.

use virtio_core::memory::RawIoSlice;

use crate::backend::bench::pieces;
use crate::backend::uring::pieces::{Pieces, behind, split};

/// Address, length and number of the pieces.
fn at(lengths: &[usize], done: u64) -> (usize, usize, usize) {
    match behind(&pieces(lengths), done) {
        Pieces::None => (0, 0, 0),
        Pieces::One(piece) => (piece.base.addr(), piece.len, 1),
        Pieces::Many(pieces) => (pieces[0].base.addr(), pieces.iter().map(|piece| piece.len).sum(), pieces.len()),
    }
}

#[test]
fn requests_go_on_where_the_last_one_ended() {
    assert_eq!(at(&[10], 0), (0, 10, 1));
    assert_eq!(at(&[10], 4), (4, 6, 1));
    assert_eq!(at(&[10], 10), (0, 0, 0));
    assert_eq!(at(&[10, 20, 30], 0), (0, 60, 3));
    assert_eq!(at(&[10, 20, 30], 3), (3, 7, 1));
    assert_eq!(at(&[10, 20, 30], 10), (10, 50, 2));
    assert_eq!(at(&[10, 20, 30], 31), (31, 29, 1));
    assert_eq!(at(&[10, 20, 30], 60), (0, 0, 0));
    assert_eq!(at(&[10, 20, 30], u64::MAX), (0, 0, 0));
    assert_eq!(at(&[], 0), (0, 0, 0));
}

#[test]
fn requests_have_a_bounded_number_of_pieces() {
    assert_eq!(at(&[1; 3000], 0), (0, 1024, 1024));
    assert_eq!(at(&[1; 3000], 2048), (2048, 952, 952));
}

#[test]
fn memory_is_registered_in_pieces_that_the_kernel_takes() {
    let cut = |len, most| -> Vec<(usize, usize)> {
        let range = RawIoSlice { base: std::ptr::without_provenance_mut(100), len };
        split(range, most).map(|piece| (piece.iov_base.addr(), piece.iov_len)).collect()
    };
    assert_eq!(cut(10, 4), [(100, 4), (104, 4), (108, 2)]);
    assert_eq!(cut(8, 4), [(100, 4), (104, 4)]);
    assert_eq!(cut(3, 4), [(100, 3)]);
    assert_eq!(cut(0, 4), []);
}
