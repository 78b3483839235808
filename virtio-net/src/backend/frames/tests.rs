#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use proptest::prelude::*;

use super::*;

fn frame(len: usize, buffers: &mut Buffers) -> Frame {
    let mut bytes = buffers.take(len);
    bytes.resize(len, 1);
    Frame { header: NetHeader::default(), bytes }
}

#[test]
fn a_buffer_is_used_again_for_frames_that_fit() {
    let mut buffers = Buffers::default();
    for (len, capacity) in [(14, 2048), (2048, 2048), (2049, 16384), (16385, MAX_FRAME_LEN), (MAX_FRAME_LEN, 65557)] {
        assert!(buffers.take_used(len).is_none());
        let mut buffer = buffers.take(len);
        assert_eq!((buffer.len(), buffer.capacity()), (0, capacity.max(len)));
        buffer.resize(len, 7);
        let at = buffer.as_ptr();
        buffers.give(buffer);
        let again = buffers.take(len);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
    }
}

#[test]
fn buffers_are_kept_up_to_a_bound() {
    let mut buffers = Buffers::default();
    for _ in 0..1000 {
        buffers.give(Vec::with_capacity(MAX_FRAME_LEN));
        assert!(buffers.bytes <= MAX_BYTES);
    }
    let kept = std::iter::from_fn(|| buffers.take_used(MAX_FRAME_LEN)).count();
    assert_eq!(kept, MAX_BYTES / MAX_FRAME_LEN);
    assert_eq!(buffers.bytes, 0);
    buffers.give(Vec::with_capacity(100));
    assert!(buffers.take_used(14).is_none(), "it is too small for the next frame");
}

#[test]
fn a_fifo_is_full_by_frames_or_by_bytes() {
    let mut buffers = Buffers::default();
    for (len, room) in [(60, 256), (9000, 256), (MAX_FRAME_LEN, 64)] {
        let mut fifo = Fifo::new(256);
        let taken = (0..1000).take_while(|_| fifo.push(frame(len, &mut buffers)).is_ok()).count();
        assert_eq!(taken, room, "of {len} bytes");
        assert!(fifo.is_full());
        assert_eq!(fifo.pop().unwrap().bytes.len(), len);
        assert!(!fifo.is_full());
        fifo.clear();
        assert_eq!((fifo.bytes, fifo.pop().is_none()), (0, true));
    }
}

#[test]
fn what_is_no_frame_is_not_copied() {
    let mut buffers = Buffers::default();
    for (len, good) in [(0, false), (13, false), (14, true), (MAX_FRAME_LEN, true), (MAX_FRAME_LEN + 1, false)] {
        let bytes = vec![3; len];
        let mut scratch = Vec::new();
        let copy = Frame::copy(&Packet::of_bytes(NetHeader::default(), &bytes, &mut scratch), &mut buffers);
        match copy {
            Ok(frame) => assert!(good && frame.bytes == bytes),
            Err(SendError::Failed(_)) => assert!(!good),
            Err(other) => panic!("{other}"),
        }
    }
}

proptest! {
    #[test]
    fn a_fifo_keeps_order_and_counts_its_bytes(steps in prop::collection::vec((any::<bool>(), 14..40_000_usize), 1..200)) {
        let (mut fifo, mut model, mut buffers) = (Fifo::new(20), VecDeque::new(), Buffers::default());
        for (push, len) in steps {
            if push {
                let frame = frame(len, &mut buffers);
                let fits = model.len() < 20 && fifo.bytes < MAX_BYTES;
                prop_assert_eq!(fifo.push(frame).is_ok(), fits);
                model.extend(fits.then_some(len));
            } else {
                let popped = fifo.pop();
                prop_assert_eq!(popped.as_ref().map(|frame| frame.bytes.len()), model.pop_front());
                popped.into_iter().for_each(|frame| buffers.give(frame.bytes));
            }
            let bytes: usize = fifo.frames.iter().map(|frame| frame.bytes.capacity()).sum();
            prop_assert_eq!(fifo.bytes, bytes);
        }
    }
}
