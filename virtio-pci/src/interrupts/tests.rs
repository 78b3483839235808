use std::sync::{OnceLock, Weak};

use super::*;
use crate::msix::ENABLE;
use crate::vector::MessageVector;

#[test]
fn an_interrupt_during_the_change_to_msix_is_not_lost() {
    let sent = Event::new().unwrap();
    let vector = sent.clone();
    let vectors = move |_| {
        let vector = vector.clone();
        Ok(Arc::new(crate::SentVector::new(move |_, _| vector.signal())) as Arc<dyn MessageVector>)
    };
    let msix = Msix::new(2, Some(&vectors)).unwrap();
    let late: Arc<OnceLock<Weak<Routing>>> = Arc::default();
    let driver = late.clone();
    // The driver enables MSI-X just when the pin rises.
    let line = move |asserted| {
        if let (true, Some(routing)) = (asserted, driver.get().and_then(Weak::upgrade)) {
            routing.msix.set_control(ENABLE);
        }
    };
    let intx = Intx::new(Some(Box::new(line)), Arc::clone(msix.enabled()));
    let routing = Arc::new(Routing::new(intx, msix, 1));
    routing.set_queue_vector(0, 1);
    routing.msix.write(16 + 12, &[0]);
    late.set(Arc::downgrade(&routing)).unwrap();
    Hooks { routing, selectors: Arc::default() }.queue_interrupt(0).signal();
    assert_eq!(sent.take(), 1);
}

#[test]
fn a_queue_gives_away_an_event_only_where_a_message_has_one() {
    let msix = Msix::new(2, Some(&|_| Ok(Arc::new(crate::SentVector::new(|_, _| ())) as _))).unwrap();
    let intx = Intx::new(None, Arc::clone(msix.enabled()));
    let routing = Arc::new(Routing::new(intx, msix, 1));
    let queue = Hooks { routing: routing.clone(), selectors: Arc::default() }.queue_interrupt(0);
    assert!(queue.event().is_none());
    routing.msix.set_control(ENABLE);
    assert!(queue.event().is_none());
    routing.set_queue_vector(0, 1);
    assert!(queue.event().is_none());
}
