//! Sockets: connecting, sending and receiving, without waiting but for the first connection.

use std::io::{self, Read};
use std::net::ToSocketAddrs;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

use super::error::NbdError;
use super::protocol::{Export, Handshake};
use super::uri::Place;

/// How long a silent peer is believed to be there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// How often it is asked then.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// A connection of sockets. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Stream(Arc<Socket>);

impl Stream {
    /// Begins to connect; see [`is_connected`](Self::is_connected).
    pub(super) fn begin(address: &SockAddr) -> io::Result<Stream> {
        let stream = Stream::new(address)?;
        stream.0.set_nonblocking(true)?;
        match stream.0.connect(address) {
            // A Unix socket whose server has too many waiting is not connecting then.
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(stream),
            other => other.map(|()| stream),
        }
    }

    fn new(address: &SockAddr) -> io::Result<Stream> {
        let socket = Socket::new(address.domain(), Type::STREAM, None)?;
        #[cfg(target_vendor = "apple")]
        socket.set_nosigpipe(true)?;
        if address.domain() != Domain::UNIX {
            socket.set_tcp_nodelay(true)?;
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL))?;
        }
        Ok(Stream(Arc::new(socket)))
    }

    /// Whether it has come to a connection.
    pub(super) fn is_connected(&self) -> io::Result<bool> {
        if let Some(error) = self.0.take_error()? {
            return Err(error);
        }
        match self.0.peer_addr() {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
            // Where no server listens on a port of this machine, a socket may be given that port and meet itself. Then it
            // would also keep the server from coming back.
            Ok(peer) if peer.domain() != Domain::UNIX && peer == self.0.local_addr()? => {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Ok(_) => Ok(true),
        }
    }

    /// Receives into `buffer`. None if nothing is there.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            return match (&*self.0).read(buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(len) => Ok(Some(len)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    /// Sends some of `bytes`; says how many. None if it takes none.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        // A peer that has gone is an error, and no signal.
        #[cfg(not(target_vendor = "apple"))]
        let flags = libc::MSG_NOSIGNAL;
        #[cfg(target_vendor = "apple")]
        let flags = 0;
        loop {
            return match self.0.send_with_flags(bytes, flags) {
                Ok(len) => Ok(Some(len)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            };
        }
    }

    /// Ends the connection, also where the socket itself stays open because somebody still waits for it.
    pub(super) fn close(&self) {
        // There may be none.
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }

    pub(super) fn file(&self) -> Arc<dyn AsRawFd + Send + Sync> {
        Arc::clone(&self.0) as _
    }
}

/// Where `place` is, as the system says now.
pub(super) fn resolve(place: &Place) -> Result<Vec<SockAddr>, NbdError> {
    let failed = |source| NbdError::Host { host: place.to_string(), source };
    match place {
        Place::Unix(path) => Ok(vec![SockAddr::unix(path).map_err(failed)?]),
        Place::Tcp { host, port } => {
            let found: Vec<_> = (host.as_str(), *port).to_socket_addrs().map_err(failed)?.map(SockAddr::from).collect();
            if found.is_empty() {
                return Err(failed(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
            }
            Ok(found)
        }
    }
}

/// Connects to the first of `addresses` that answers, and agrees on the export of this name. Waits for at most `limit`.
pub(super) fn first_connection(
    place: &Place,
    addresses: &[SockAddr],
    name: &[u8],
    limit: Duration,
) -> Result<(Stream, Export), NbdError> {
    let end = Instant::now().checked_add(limit);
    let left = || {
        let left = end.map_or(limit, |end| end.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let connected = Stream::new(address).and_then(|stream| {
            stream.0.connect_timeout(address, left()?)?;
            stream.is_connected().map(|_| stream)
        });
        match connected {
            Ok(stream) => {
                let export = handshake(place, &stream, name, left)?;
                let failed = |source| NbdError::Handshake { place: place.to_string(), source };
                stream.0.set_read_timeout(None).map_err(failed)?;
                stream.0.set_write_timeout(None).map_err(failed)?;
                stream.0.set_nonblocking(true).map_err(failed)?;
                return Ok((stream, export));
            }
            Err(error) => failure = error,
        }
    }
    Err(NbdError::Connect { place: place.to_string(), source: failure })
}

fn handshake(
    place: &Place,
    stream: &Stream,
    name: &[u8],
    left: impl Fn() -> io::Result<Duration>,
) -> Result<Export, NbdError> {
    let failed = |source: io::Error| NbdError::Handshake { place: place.to_string(), source };
    let slow = || failed(io::ErrorKind::TimedOut.into());
    let (mut handshake, mut buffer) = (Handshake::new(name), [0; 1024]);
    loop {
        stream.0.set_read_timeout(Some(left().map_err(failed)?)).map_err(failed)?;
        let len = stream.receive(&mut buffer).map_err(failed)?.ok_or_else(slow)?;
        let export = handshake.input(buffer.get(..len).unwrap_or_default());
        let export = export.map_err(|source| NbdError::Protocol { place: place.to_string(), source })?;
        let output = handshake.take_output();
        let mut output = &output[..];
        while !output.is_empty() {
            stream.0.set_write_timeout(Some(left().map_err(failed)?)).map_err(failed)?;
            let len = stream.send(output).map_err(failed)?.ok_or_else(slow)?;
            output = output.get(len..).unwrap_or_default();
        }
        if let Some(export) = export {
            return Ok(export);
        }
    }
}
