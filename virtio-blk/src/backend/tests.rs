//! System calls that move less than they were asked to, and storage that loses data.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::SeqCst;

use super::Operation;
use super::bench::pieces;
use super::file::Disk;
use super::sys::drive;

/// Drives calls that answer `answers`; what they were asked for is checked: the rest, where it belongs.
fn run(lengths: &[usize], answers: Vec<Result<usize, i32>>) -> (io::Result<usize>, usize) {
    let mut answers = VecDeque::from(answers);
    let (mut done, mut calls) = (0, 0);
    let result = drive(&pieces(lengths), 1000, |pieces, offset| {
        calls += 1;
        assert_eq!(offset, 1000 + done as i64);
        assert_eq!(pieces[0].base.addr(), done);
        assert!(pieces.len() <= 1024);
        let most: usize = pieces.iter().map(|piece| piece.len).sum();
        let moved = answers.pop_front().unwrap_or(Ok(most)).map_err(io::Error::from_raw_os_error)?;
        assert!(moved <= most);
        done += moved;
        Ok(moved)
    });
    (result, calls)
}

#[test]
fn short_transfers_go_on_where_they_ended() {
    // Inside of a piece, at its end, inside of a later one, and by single bytes.
    assert!(matches!(run(&[10, 10, 10], vec![Ok(3)]), (Ok(30), 3)));
    assert!(matches!(run(&[10, 10, 10], vec![Ok(10)]), (Ok(30), 2)));
    assert!(matches!(run(&[10, 10, 10], vec![Ok(25)]), (Ok(30), 2)));
    assert!(matches!(run(&[10, 10], vec![Ok(15), Ok(1), Ok(1), Ok(3)]), (Ok(20), 4)));
    assert!(matches!(run(&[], vec![]), (Ok(0), 0)));
}

#[test]
fn the_end_of_the_file_is_a_short_transfer() {
    assert!(matches!(run(&[10, 10], vec![Ok(0)]), (Ok(0), 1)));
    assert!(matches!(run(&[10, 10], vec![Ok(15), Ok(0)]), (Ok(15), 2)));
}

#[test]
fn signals_are_no_failures_and_errors_are() {
    assert!(matches!(run(&[10], vec![Err(libc::EINTR), Ok(4), Err(libc::EINTR)]), (Ok(10), 4)));
    assert!(matches!(run(&[10], vec![Ok(4), Err(libc::EIO)]), (Err(_), 2)));
}

#[test]
fn calls_take_a_bounded_number_of_pieces() {
    assert!(matches!(run(&[1; 3000], vec![]), (Ok(3000), 3)));
}

#[test]
fn offsets_that_the_system_cannot_take_are_errors() {
    for offset in [i64::MAX as u64 + 1, u64::MAX] {
        assert!(drive(&pieces(&[512]), offset, |_, _| Ok(512)).is_err());
    }
    assert!(drive(&pieces(&[4, 4]), i64::MAX as u64 - 2, |_, _| Ok(4)).is_err());
}

#[test]
fn a_sync_that_failed_is_never_made_good_by_a_later_one() {
    let flush = Operation::new(0);
    // A pipe cannot be synced.
    let (_reader, writer) = io::pipe().expect("a pipe");
    let disk = Disk::new(File::from(OwnedFd::from(writer)), false, false);
    assert!(disk.perform(&flush).is_err());
    assert!(disk.lost.load(SeqCst));

    let file = File::open(std::env::current_exe().expect("this test")).expect("a file");
    let disk = Disk::new(file, true, true);
    assert!(disk.perform(&flush).is_ok());
    disk.lost.store(true, SeqCst);
    assert!(disk.perform(&flush).is_err());
}
