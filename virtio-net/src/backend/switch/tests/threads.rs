//! Devices on threads of their own.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::bench::{frame, number, receive, receive_event, send};
use crate::backend::{NetBackend, Switch};

const PORTS: usize = 4;
const FRAMES: u64 = 30_000;
/// Frames on their way to one port: fewer than it has room for, and less often than would keep it from sleeping.
const WINDOW: u64 = 256;

/// How long a test waits for what has to happen: so long that only what never happens takes it.
const FOREVER: Duration = Duration::from_secs(60);

fn until(mut done: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < FOREVER, "{what}");
        thread::yield_now();
    }
}

/// Each port sends to the next, and looks for frames only when it was woken for them: one wake-up that is lost stops it.
#[test]
fn no_frame_and_no_wake_up_is_lost_between_threads() {
    let switch = Switch::new();
    let ports: Vec<_> = (0..PORTS).map(|_| switch.port()).collect();
    let received: Vec<AtomicU64> = (0..PORTS).map(|_| AtomicU64::new(0)).collect();
    // So that all are known before the first frame.
    let mut queues: Vec<_> = ports.iter().map(|port| port.open_queue(0).unwrap()).collect();
    for (station, queue) in queues.iter_mut().enumerate() {
        send(&mut **queue, &frame(station as u8, station as u8, 60, 0)).unwrap();
    }
    thread::scope(|scope| {
        for (station, mut queue) in queues.into_iter().enumerate() {
            let (received, next) = (&received, (station + 1) % PORTS);
            scope.spawn(move || {
                let event = receive_event(&*queue);
                let (mut sent, mut got) = (0, 0);
                until(
                    || {
                        let window = (received[next].load(SeqCst) + WINDOW).min(FRAMES);
                        let batch = sent..window.min(sent + 1 + sent % 17);
                        sent = batch.end;
                        for number in batch {
                            let len = 60 + (number as usize * 37) % 2500;
                            send(&mut *queue, &frame(next as u8, station as u8, len, number as u32)).unwrap();
                        }
                        queue.flush();
                        if event.take() != 0 {
                            while let Some(frame) = receive(&mut *queue) {
                                assert_eq!(u64::from(number(&frame)), got, "in order");
                                got += 1;
                                received[station].store(got, SeqCst);
                            }
                        }
                        sent == FRAMES && got == FRAMES
                    },
                    "a frame or a wake-up was lost",
                );
            });
        }
    });
    assert!(received.iter().all(|count| count.load(SeqCst) == FRAMES));
    assert!(ports.iter().all(|port| port.counts().overflows == 0));
}

/// Is true from when somebody has gone, in whatever way.
struct Gone<'a>(&'a AtomicBool);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// While ports come and go, what others send to each other arrives.
#[test]
fn ports_come_and_go_under_load() {
    let switch = Switch::new();
    let (a, b) = (switch.port(), switch.port());
    let (mut sender, mut receiver) = (a.open_queue(0).unwrap(), b.open_queue(0).unwrap());
    send(&mut *receiver, &frame(0, 2, 60, 0)).unwrap();
    let (got, done) = (AtomicU64::new(0), AtomicBool::new(false));
    // The last round of each guest that the receiver has heard of.
    let heard = [const { AtomicU64::new(0) }; 2];
    thread::scope(|scope| {
        for guest in 0..2_u8 {
            let (switch, done, heard) = (&switch, &done, &heard[usize::from(guest)]);
            scope.spawn(move || {
                let mut rounds = 0;
                while !done.load(SeqCst) {
                    let port = switch.port_with_pairs(2);
                    let (mut one, mut two) = (port.open_queue(0).unwrap(), port.open_queue(1).unwrap());
                    for station in 0..8 {
                        let [own, other] = [guest, 1 - guest].map(|guest| 0x80 + 8 * guest + station);
                        send(&mut *one, &frame(other, own, 60, 0)).unwrap();
                        send(&mut *two, &frame(other, own, 60, 0)).unwrap();
                    }
                    rounds += 1;
                    send(&mut *one, &frame(0xee, 0x40 + guest, 60, rounds)).unwrap();
                    (0..100).take_while(|_| receive(&mut *one).or_else(|| receive(&mut *two)).is_some()).count();
                    // So that there is always room for what others send.
                    until(|| heard.load(SeqCst) == u64::from(rounds) || done.load(SeqCst), "nobody has heard");
                }
                assert!(rounds > 1);
            });
        }
        let (got, heard, gone) = (&got, &heard, &done);
        scope.spawn(move || {
            let _gone = Gone(gone);
            let mut next = 0;
            until(
                || {
                    while let Some(frame) = receive(&mut *receiver) {
                        let number = u64::from(number(&frame));
                        match frame[11] {
                            1 => {
                                assert_eq!(number, next, "in order");
                                next += 1;
                                got.store(next, SeqCst);
                            }
                            guest @ (0x40 | 0x41) => heard[usize::from(guest & 1)].store(number, SeqCst),
                            _ => {}
                        }
                    }
                    next == FRAMES
                },
                "a frame was lost",
            );
        });
        let _gone = Gone(&done);
        for number in 0..FRAMES {
            until(|| number < got.load(SeqCst) + 64 || done.load(SeqCst), "the receiver stands still");
            send(&mut *sender, &frame(2, 1, 60, number as u32)).unwrap();
            sender.flush();
            while receive(&mut *sender).is_some() {}
        }
        until(|| done.load(SeqCst), "the receiver stands still");
    });
    assert_eq!((got.load(SeqCst), b.counts().overflows, switch.ports()), (FRAMES, 0, 2));
}
