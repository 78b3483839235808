//! Open files that are no networks.

use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream as Stream};

use super::super::{SocketError, UnixDgram, UnixStream};

#[test]
fn only_sockets_of_the_right_kind_are_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let tcp = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let others = || -> [OwnedFd; 2] {
        [tcp.try_clone().expect("a socket").into(), UdpSocket::bind("127.0.0.1:0").expect("a socket").into()]
    };
    for other in others() {
        assert!(matches!(UnixStream::from_socket(other), Err(SocketError::Kind { wanted: "stream" })));
    }
    for other in others() {
        assert!(matches!(UnixDgram::from_socket(other), Err(SocketError::Kind { wanted: "datagram" })));
    }
    let (stream, _) = Stream::pair().expect("sockets");
    assert!(matches!(UnixDgram::from_socket(stream), Err(SocketError::Kind { .. })));
    let (datagram, _) = UnixDatagram::pair().expect("sockets");
    assert!(matches!(UnixStream::from_socket(datagram), Err(SocketError::Kind { .. })));
    let file = || File::open("/dev/null").expect("a file");
    assert!(matches!(UnixStream::from_socket(file()), Err(SocketError::NotASocket { .. })));
    assert!(matches!(UnixDgram::from_socket(file()), Err(SocketError::NotASocket { .. })));
}
