//! Numbers and layouts of the protocol.

/// The first words of a server.
pub(super) const NBD_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// Of a server that negotiates, and of each option.
pub(super) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Of a server that does not.
pub(super) const OLD_STYLE_MAGIC: u64 = 0x0000_4202_8186_1253;
/// Of the answer to an option.
pub(super) const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Of a request, and of the two kinds of replies.
pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
pub(super) const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
pub(super) const STRUCTURED_REPLY_MAGIC: u32 = 0x668e_33ef;

/// What both sides say at the start.
pub(super) const FIXED_NEWSTYLE: u16 = 1 << 0;
pub(super) const NO_ZEROES: u16 = 1 << 1;

pub(super) const OPT_EXPORT_NAME: u32 = 1;
pub(super) const OPT_GO: u32 = 7;
pub(super) const OPT_STRUCTURED_REPLY: u32 = 8;

pub(super) const REP_ACK: u32 = 1;
pub(super) const REP_INFO: u32 = 3;
/// Answers from here on are errors.
pub(super) const REP_ERROR: u32 = 1 << 31;
pub(super) const REP_ERR_UNSUP: u32 = REP_ERROR + 1;
pub(super) const REP_ERR_TLS_REQD: u32 = REP_ERROR + 5;
pub(super) const REP_ERR_UNKNOWN: u32 = REP_ERROR + 6;

pub(super) const INFO_EXPORT: u16 = 0;
pub(super) const INFO_BLOCK_SIZE: u16 = 3;

/// What an export can do.
pub(super) const HAS_FLAGS: u16 = 1 << 0;
pub(super) const READ_ONLY: u16 = 1 << 1;
pub(super) const SEND_FLUSH: u16 = 1 << 2;
pub(super) const SEND_FUA: u16 = 1 << 3;
pub(super) const SEND_TRIM: u16 = 1 << 5;
pub(super) const SEND_WRITE_ZEROES: u16 = 1 << 6;
pub(super) const CAN_MULTI_CONN: u16 = 1 << 8;

/// Of a chunk: the last one of its reply.
pub(super) const CHUNK_DONE: u16 = 1 << 0;
pub(super) const CHUNK_NONE: u16 = 0;
pub(super) const CHUNK_DATA: u16 = 1;
pub(super) const CHUNK_HOLE: u16 = 2;
/// Kinds of chunks from here on are errors.
pub(super) const CHUNK_ERROR: u16 = 1 << 15;
pub(super) const CHUNK_ERROR_OFFSET: u16 = CHUNK_ERROR + 2;

/// Error numbers that mean something to a client besides failure.
pub(in super::super) const ENOSPC: u32 = 28;
pub(in super::super) const ENOTSUP: u32 = 95;
pub(in super::super) const ESHUTDOWN: u32 = 108;

/// The longest text that a side may send.
pub(super) const MOST_TEXT: u32 = 4096;
/// Bytes of the largest request without limits of the server.
pub(super) const USUAL_MAX: u32 = 32 << 20;

/// Bytes of a number, from a place in a message that was checked to be long enough; zeros otherwise.
pub(super) fn array<const N: usize>(message: &[u8], at: usize) -> [u8; N] {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk::<N>());
    bytes.copied().unwrap_or([0; N])
}

pub(super) fn be16(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(message, at))
}

pub(super) fn be32(message: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(message, at))
}

pub(super) fn be64(message: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(message, at))
}
