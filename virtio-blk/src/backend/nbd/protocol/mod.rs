//! The client's side of the NBD protocol, without sockets: bytes in, events out, and bytes to send.
//!
//! - [`Handshake`]: from the server's first byte to an [`Export`].
//! - [`Requests`]: what the server was asked for and has not answered yet; [`Command`] is what one asks for.
//! - [`Replies`]: what the server answers.
//!
//! Nothing that a server says is believed: what does not fit what it was asked for is a [`ProtocolError`], and the
//! connection is no longer of any use. Memory is bounded by what was asked for.

mod coverage;
mod error;
mod export;
mod fuzz;
mod handshake;
mod replies;
mod requests;
#[cfg(test)]
mod tests;
mod wire;

pub use error::ProtocolError;
pub(super) use export::{BlockSizes, Export};
pub use fuzz::fuzz;
pub(super) use handshake::Handshake;
pub(super) use replies::{Event, Replies};
pub(super) use requests::{Active, Command, Requests};
pub(super) use wire::{ENOSPC, ENOTSUP, ESHUTDOWN};
