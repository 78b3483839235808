#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use crate::backend::bench::{events, frame, receive, send};
use crate::backend::{NetBackend, NullBackend};
use crate::{Capabilities, Offloads};

#[test]
fn nobody_takes_everything_and_says_nothing() {
    let network = NullBackend::new();
    let capabilities = network.capabilities();
    assert_eq!((capabilities.transmit, capabilities.receive), (Offloads::ALL, Offloads::NONE));
    assert_eq!(Capabilities { mac: None, mtu: None, speed: None, ..capabilities }, capabilities);
    let mut queue = network.open_queue(capabilities.pairs - 1).unwrap();
    for number in 0..1000 {
        send(&mut *queue, &frame(1, 2, 60, number)).unwrap();
    }
    queue.flush();
    assert_eq!(receive(&mut *queue), None);
    assert!(events(&*queue, true, true).is_empty());
    assert!(queue.is_connected());
    assert!(network.open_queue(capabilities.pairs).is_err());
}
