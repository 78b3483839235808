//! What goes before a frame, and the frame, do not go together.

/// Why the work that is left to do with a frame cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("gso_type {gso_type:#x} with flags {flags:#x}")]
    Gso { gso_type: u8, flags: u8 },
    #[error("pieces of {size} bytes")]
    GsoSize { size: u16 },
    #[error("a checksum at {offset} from {start}, in a frame of {len} bytes")]
    Checksum { start: u16, offset: u16, len: usize },
    #[error("headers of a tunnel at {outer} and {inner}, in a frame of {len} bytes")]
    Tunnel { outer: u16, inner: u16, len: usize },
    #[error("a frame of {len} bytes has not the headers for gso_type {gso_type:#x}")]
    Headers { gso_type: u8, len: usize },
    #[error("IP has no packets of {len} bytes")]
    Length { len: usize },
}
