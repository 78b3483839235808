#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn frame(len: usize) -> OwnedFrame {
    OwnedFrame { header: NetHeader::default(), bytes: vec![0; len] }
}

/// A mailbox of a task, what wakes that, and what wakes those who wait for room.
fn mailbox() -> (Mailbox, Event, Event) {
    let (mailbox, task, waker) = (Mailbox::default(), Event::new().unwrap(), Event::new().unwrap());
    mailbox.open(task.clone());
    (mailbox, task, waker)
}

#[test]
fn there_is_enough_before_there_is_too_much() {
    for (len, most) in [(60, MOST_FRAMES), (60_000, MOST_BYTES / 60_000 + 1)] {
        let (mailbox, task, waker) = mailbox();
        for count in 1..=2 * MOST_FRAMES + 2 {
            assert_eq!(mailbox.has_to_wait(0, &waker), count > most, "{len} bytes, frame {count}");
            let pushed = mailbox.push(frame(len), 0, &waker);
            // One more of the only one who waits.
            let too_much = if len == 60 { 2 * MOST_FRAMES + 1 } else { (2 * MOST_BYTES + MAX_FRAME_LEN).div_ceil(len) };
            let expected = match count {
                _ if count > too_much => Pushed::Refused,
                _ if count >= most => Pushed::Enough,
                _ => Pushed::Taken,
            };
            assert_eq!(pushed, expected, "{len} bytes, frame {count}");
        }
        assert!(task.take() > 0, "the task is woken");
        assert_eq!(waker.take(), 0);
    }
}

#[test]
fn who_waits_is_woken_when_half_is_taken() {
    let (mailbox, _task, waker) = mailbox();
    let other = Event::new().unwrap();
    while mailbox.push(frame(60), 0, &waker) != Pushed::Enough {}
    assert_eq!(mailbox.push(frame(60), 7, &other), Pushed::Enough);
    assert_eq!(mailbox.push(frame(60), 7, &other), Pushed::Enough);
    let mut taken = 0;
    while waker.take() == 0 {
        assert_eq!(other.take(), 0);
        mailbox.pop().expect("a frame");
        taken += 1;
    }
    assert!(other.take() > 0, "all of them are");
    assert_eq!(taken, MOST_FRAMES + 2 - MOST_FRAMES / 2 + 1);
    while mailbox.pop().is_some() {}
    assert_eq!((waker.take(), other.take()), (0, 0), "once");
}

#[test]
fn who_finds_that_others_were_faster_is_woken_again() {
    let (mailbox, _task, waker) = mailbox();
    let other = Event::new().unwrap();
    while mailbox.push(frame(60), 0, &waker) != Pushed::Enough {}
    while waker.take() == 0 {
        mailbox.pop().expect("a frame");
    }
    while mailbox.push(frame(60), 7, &other) != Pushed::Enough {}
    assert!(mailbox.has_to_wait(0, &waker));
    while mailbox.pop().is_some() {}
    assert!(waker.take() > 0 && other.take() > 0);
    assert!(!mailbox.has_to_wait(0, &waker));
    mailbox.push(frame(60), 7, &other);
    mailbox.pop().expect("a frame");
    assert_eq!((waker.take(), other.take()), (0, 0), "who was not told to wait does not");
}

#[test]
fn a_frame_of_each_of_many_is_not_too_much() {
    let (mailbox, _task, waker) = mailbox();
    while mailbox.push(frame(60_000), 0, &waker) != Pushed::Enough {}
    for from in 1..=1000 {
        assert_eq!(mailbox.push(frame(60_000), from, &waker), Pushed::Enough, "pair {from}");
    }
}

#[test]
fn without_a_task_nothing_is_taken() {
    let waker = Event::new().unwrap();
    assert_eq!(Mailbox::default().push(frame(60), 0, &waker), Pushed::Refused);
    let (mailbox, _task, _) = mailbox();
    while mailbox.push(frame(60), 0, &waker) != Pushed::Enough {}
    assert_eq!(mailbox.close(), MOST_FRAMES);
    assert!(!mailbox.has_to_wait(0, &waker));
    assert_eq!(mailbox.push(frame(60), 0, &waker), Pushed::Refused);
    assert!(mailbox.pop().is_none());
}
