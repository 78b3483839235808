//! Why there is no disk at a URI.

use std::io;

use super::protocol::ProtocolError;

/// A URI names no server. The messages say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It is none of the forms that there are.
    #[error("it has to be nbd://HOST[:PORT][/EXPORT] or nbd+unix:///[EXPORT]?socket=PATH")]
    Form,
    /// It asks for an encrypted connection.
    #[error("TLS is left to a proxy, such as stunnel: give the proxy's address with nbd:// or nbd+unix://")]
    Tls,
    /// It names a user.
    #[error("NBD without TLS knows no users: leave out what is before the `@`")]
    User,
    /// Its port is no number up to 65535.
    #[error("`{port}` is no port")]
    Port {
        /// What it has instead.
        port: String,
    },
    /// A Unix socket without its path.
    #[error("nbd+unix:// needs the path of the socket: nbd+unix:///[EXPORT]?socket=PATH")]
    Socket,
    /// It has a parameter that means nothing here.
    #[error("the parameter `{parameter}` means nothing here")]
    Parameter {
        /// The parameter.
        parameter: String,
    },
    /// A `%` without two hexadecimal digits, or one that stands for a zero byte.
    #[error("each `%` has to be followed by two hexadecimal digits that are not 00")]
    Percent,
    /// The export's name is too long.
    #[error("the export's name has {len} bytes, 4096 are the most")]
    Name {
        /// Its length in bytes.
        len: usize,
    },
}

/// There is no disk at a URI.
///
/// Send and Sync.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NbdError {
    /// The URI is wrong.
    #[error("{uri} names no NBD server: {source}")]
    Uri {
        /// The URI.
        uri: String,
        /// What is wrong with it.
        source: UriError,
    },
    /// The host's name leads nowhere.
    #[error("the host {host} of the NBD server is not known: {source}")]
    Host {
        /// Its name.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no connection to the server.
    #[error("no connection to the NBD server at {place}: {source}")]
    Connect {
        /// Where it should be.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server broke off, or said nothing for too long, before it had described the export.
    #[error("the NBD server at {place} ended the handshake: {source}")]
    Handshake {
        /// Where it is.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server said something that it may not say, or does not want this client.
    #[error("the NBD server at {place} cannot be used: {source}")]
    Protocol {
        /// Where it is.
        place: String,
        /// What it said.
        source: ProtocolError,
    },
}
