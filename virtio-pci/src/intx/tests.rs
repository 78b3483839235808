use std::sync::Mutex;

use super::*;

struct Pin(Arc<AtomicBool>);

impl InterruptLine for Pin {
    fn set(&self, asserted: bool) {
        self.0.store(asserted, Ordering::SeqCst);
    }
}

fn intx() -> (Arc<AtomicBool>, Arc<AtomicBool>, Intx) {
    let (pin, msix) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let intx = Intx::new(Some(Box::new(Pin(pin.clone()))), msix.clone());
    (pin, msix, intx)
}

#[test]
fn the_pin_follows_the_status_and_its_gates() {
    let (pin, msix, intx) = intx();
    let is = |level| assert_eq!(pin.load(Ordering::SeqCst), level);
    intx.raise(ISR_QUEUE);
    is(true);
    intx.disable(true);
    intx.sync();
    is(false);
    assert!(intx.is_asserted());
    intx.raise(ISR_CONFIG);
    is(false);
    intx.disable(false);
    intx.sync();
    is(true);
    msix.store(true, Ordering::SeqCst);
    intx.sync();
    is(false);
    assert!(!intx.is_asserted());
    msix.store(false, Ordering::SeqCst);
    intx.sync();
    is(true);
    assert_eq!(intx.acknowledge(), ISR_QUEUE | ISR_CONFIG);
    is(false);
    assert_eq!(intx.acknowledge(), 0);
}

#[test]
fn the_pin_is_right_after_any_race_of_raising_and_acknowledging() {
    let (pin, _, intx) = intx();
    for _ in 0..200 {
        std::thread::scope(|scope| {
            for bit in [ISR_QUEUE, ISR_CONFIG] {
                let intx = &intx;
                scope.spawn(move || (0..50).for_each(|_| intx.raise(bit)));
            }
            scope.spawn(|| {
                for _ in 0..50 {
                    intx.acknowledge();
                }
            });
        });
        assert_eq!(pin.load(Ordering::SeqCst), intx.status() != 0);
    }
}

type Hook = Box<dyn FnOnce() + Send>;

/// A pin that lets another thread come first, the first time that it is set to a level.
struct Slow {
    level: Arc<AtomicBool>,
    other: Mutex<Option<(bool, Hook)>>,
}

impl Slow {
    fn set(&self, asserted: bool) {
        let other = self.other.lock().unwrap().take_if(|(level, _)| *level == asserted);
        if let Some((_, other)) = other {
            other();
        }
        self.level.store(asserted, Ordering::SeqCst);
    }
}

fn interleave(at: bool, other: fn(&Intx), first: fn(&Intx)) -> bool {
    let slow = Arc::new(Slow { level: Arc::default(), other: Mutex::default() });
    let pin = slow.clone();
    let line = move |level| pin.set(level);
    let intx = Arc::new(Intx::new(Some(Box::new(line)), Arc::default()));
    let hook = intx.clone();
    if !at {
        intx.raise(ISR_QUEUE);
    }
    *slow.other.lock().unwrap() = Some((at, Box::new(move || other(&hook))));
    first(&intx);
    assert!(slow.other.lock().unwrap().is_none());
    assert_eq!(slow.level.load(Ordering::SeqCst), intx.status() != 0);
    intx.status() != 0
}

#[test]
fn a_status_that_is_read_while_the_pin_rises_leaves_it_low() {
    let acknowledge = |intx: &Intx| assert_eq!(intx.acknowledge(), ISR_QUEUE);
    assert!(!interleave(true, acknowledge, |intx| intx.raise(ISR_QUEUE)));
}

#[test]
fn an_interrupt_that_is_raised_while_the_pin_falls_leaves_it_high() {
    let acknowledge = |intx: &Intx| assert_eq!(intx.acknowledge(), ISR_QUEUE);
    assert!(interleave(false, |intx| intx.raise(ISR_CONFIG), acknowledge));
}
