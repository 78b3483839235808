//! What a server can do wrong.

/// What a server said that it may not say, or why it does not want this client. The connection ends with it.
///
/// Send and Sync.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A message does not begin as it has to.
    #[error("{magic:#x} where {of} should begin: no NBD server, or one that lost its place")]
    Magic {
        /// What should begin there.
        of: &'static str,
        /// What was there instead.
        magic: u64,
    },
    /// The server does not negotiate.
    #[error("the server speaks the protocol's old style, without negotiation, which is not supported")]
    OldStyle,
    /// The server wants an encrypted connection.
    #[error(
        "the server demands TLS: reach it through a proxy that does that, such as stunnel or `nbdkit nbd tls=require`"
    )]
    Tls,
    /// The server does not have the export.
    #[error("the server has no export of that name: {message:?}")]
    UnknownExport {
        /// What the server says to it.
        message: String,
    },
    /// The server refuses an option.
    #[error("the server refuses option {option} with error {code:#x}: {message:?}")]
    Refused {
        /// The option's number.
        option: u32,
        /// The kind of its answer.
        code: u32,
        /// What the server says to it.
        message: String,
    },
    /// An answer to an option that it cannot have.
    #[error("an answer of kind {kind:#x} with {len} bytes to option {option}")]
    OptionReply {
        /// The number of the option that it is for.
        option: u32,
        /// Its kind.
        kind: u32,
        /// Bytes that it has.
        len: u32,
    },
    /// The server has told no size for the export that it agreed to.
    #[error("the server grants the export, but does not say how large it is")]
    NoExport,
    /// Limits that break the rules for them.
    #[error("block sizes from {min} over {preferred} to {max} bytes")]
    BlockSizes {
        /// The smallest, in bytes.
        min: u32,
        /// The preferred one, in bytes.
        preferred: u32,
        /// The largest, in bytes.
        max: u32,
    },
    /// More than an agreed handshake has.
    #[error("{bytes} bytes that nobody asked for")]
    Unasked {
        /// How many.
        bytes: usize,
    },
    /// A reply to nothing that was asked, or a second one.
    #[error("a reply to request {cookie:#x}, which is not in flight")]
    Cookie {
        /// What it says it is a reply to.
        cookie: u64,
    },
    /// A simple reply to a read, though structured ones were agreed upon.
    #[error("a simple reply to a read where a structured one was agreed upon")]
    SimpleRead,
    /// A chunk that the request cannot have, or that is too short or too long.
    #[error("a chunk of kind {kind:#x} with {len} bytes in the reply to {to}")]
    Chunk {
        /// Its kind.
        kind: u16,
        /// Its length in bytes.
        len: u32,
        /// What it is a reply to.
        to: &'static str,
    },
    /// Data from somewhere else than was asked for.
    #[error("{len} bytes at {offset:#x}, which are not in what was asked for")]
    Outside {
        /// Where on the disk they are from.
        offset: u64,
        /// How many.
        len: u32,
    },
    /// Data that the reply had already.
    #[error("the bytes from {start} to {end} of a reply overlap others")]
    Overlap {
        /// Where they begin in what was asked for.
        start: u32,
        /// Where they end.
        end: u32,
    },
    /// A reply in more pieces than anybody needs.
    #[error("a reply in more than {most} pieces out of order")]
    Pieces {
        /// How many there may be.
        most: usize,
    },
    /// A reply ended without all that was asked for.
    #[error("a reply has {got} of {asked} bytes")]
    Incomplete {
        /// Bytes that it had.
        got: u32,
        /// Bytes that were asked for.
        asked: u32,
    },
    /// An error that is none.
    #[error("an error with the number 0")]
    NoError,
}
