#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;

#[test]
fn a_socket_that_has_met_itself_is_not_connected_to_a_server() {
    let address = SockAddr::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));
    let stream = Stream::new(&address).unwrap();
    stream.0.bind(&address).unwrap();
    let own = stream.0.local_addr().unwrap();
    stream.0.connect(&own).unwrap();
    let error = stream.is_connected().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_full_socket_takes_nothing_and_a_closed_one_fails() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = Stream::begin(&SockAddr::from(listener.local_addr().unwrap())).unwrap();
    let (peer, _) = listener.accept().unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    while !stream.is_connected().unwrap() {
        assert!(Instant::now() < limit, "it is never connected");
    }
    assert_eq!(stream.receive(&mut [0; 8]).unwrap(), None);
    // Not all of it is in the buffers of the system.
    let mut sent = 0usize;
    while let Some(len) = stream.send(&[0; 65536]).unwrap() {
        sent += len;
        assert!(sent < 1 << 30, "a socket takes {sent} bytes that nobody reads");
    }
    drop(peer);
    while stream.receive(&mut [0; 8]).is_ok_and(|len| len.is_none()) {
        assert!(Instant::now() < limit, "the end is never seen");
    }
    stream.close();
    assert!(stream.send(&[0]).is_err());
}
