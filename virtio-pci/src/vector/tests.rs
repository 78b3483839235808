use std::sync::atomic::AtomicU32;

use super::*;

#[test]
fn a_signal_is_sent_whichever_of_it_and_the_unmasking_comes_first() {
    let sent = AtomicU32::new(0);
    let vector = SentVector::new(|_, _| {
        sent.fetch_add(1, Ordering::SeqCst);
    });
    for _ in 0..500 {
        vector.mask();
        sent.store(0, Ordering::SeqCst);
        std::thread::scope(|scope| {
            scope.spawn(|| vector.signal());
            scope.spawn(|| vector.unmask());
        });
        assert_eq!(sent.load(Ordering::SeqCst), 1);
        assert!(!vector.is_pending());
    }
}

#[test]
fn nothing_is_sent_after_masking_nor_after_clearing() {
    let sent = AtomicU32::new(0);
    let vector = SentVector::new(|_, data| {
        sent.fetch_add(data, Ordering::SeqCst);
    });
    vector.route(0xfee0_0000, 1).unwrap();
    std::thread::scope(|scope| {
        let signals = scope.spawn(|| (0..10_000).for_each(|_| vector.signal()));
        vector.unmask();
        vector.mask();
        let before = sent.load(Ordering::SeqCst);
        signals.join().unwrap();
        assert_eq!(sent.load(Ordering::SeqCst), before);
    });
    vector.signal();
    vector.clear();
    vector.unmask();
    let before = sent.load(Ordering::SeqCst);
    vector.signal();
    assert_eq!(sent.load(Ordering::SeqCst), before + 1);
}
