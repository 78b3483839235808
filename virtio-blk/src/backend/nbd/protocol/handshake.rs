//! From the server's first byte to an export.
//!
//! ```text
//! Greeting -> STRUCTURED_REPLY -> GO -> done
//!         \                         \ (not known)
//!          \ (not fixed newstyle)    v
//!           ----------------------> EXPORT_NAME -> done
//! ```

use super::wire::{self, be16, be32, be64};
use super::{BlockSizes, Export, ProtocolError};

/// Answers with information that the server may give to one option.
const MOST_INFOS: u32 = 64;
/// Bytes of the longest answer that is read.
const MOST_REPLY: u32 = wire::MOST_TEXT + 64;
/// Bytes of a server's text that are kept.
const MOST_MESSAGE: usize = 200;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Ahead of the server's first words.
    Greeting,
    /// Ahead of the answer to an option.
    Reply { option: u32 },
    /// In an answer, behind its header.
    ReplyBody { option: u32, kind: u32, len: u32 },
    /// Ahead of the description of the export, which answers EXPORT_NAME.
    Description,
    /// At the end.
    Done,
}

/// Agrees with a server on an export.
#[derive(Debug)]
pub(in super::super) struct Handshake {
    name: Vec<u8>,
    state: State,
    /// What has come of the next message.
    message: Vec<u8>,
    /// What is to be sent.
    output: Vec<u8>,
    no_zeroes: bool,
    structured: bool,
    infos: u32,
    description: Option<(u64, u16)>,
    blocks: BlockSizes,
}

impl Handshake {
    /// For the export of this name, which has at most 4096 bytes.
    pub(in super::super) fn new(name: &[u8]) -> Handshake {
        Handshake {
            name: name.to_vec(),
            state: State::Greeting,
            message: Vec::new(),
            output: Vec::new(),
            no_zeroes: false,
            structured: false,
            infos: 0,
            description: None,
            blocks: BlockSizes::default(),
        }
    }

    /// What is to be sent since the last call.
    pub(in super::super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Takes what the server has sent. Returns the export once all is agreed.
    ///
    /// # Errors
    /// [`ProtocolError`]: the connection is of no use.
    pub(in super::super) fn input(&mut self, mut bytes: &[u8]) -> Result<Option<Export>, ProtocolError> {
        while self.state != State::Done {
            // No more than the longest answer.
            let missing = self.need().saturating_sub(self.message.len());
            let (front, back) = bytes.split_at(missing.min(bytes.len()));
            self.message.extend_from_slice(front);
            bytes = back;
            if front.len() < missing {
                return Ok(None);
            }
            let message = std::mem::take(&mut self.message);
            self.message(&message)?;
            self.message = message;
            self.message.clear();
        }
        if !bytes.is_empty() {
            return Err(ProtocolError::Unasked { bytes: bytes.len() });
        }
        let (size, flags) = self.description.ok_or(ProtocolError::NoExport)?;
        Ok(Some(Export::new(size, flags, self.blocks, self.structured)))
    }

    /// Bytes of the next message.
    fn need(&self) -> usize {
        match self.state {
            State::Greeting => 18,
            State::Reply { .. } => 20,
            State::ReplyBody { len, .. } => len as usize,
            State::Description if self.no_zeroes => 10,
            State::Description => 134,
            State::Done => 0,
        }
    }

    fn message(&mut self, message: &[u8]) -> Result<(), ProtocolError> {
        match self.state {
            State::Greeting => self.greeting(message),
            State::Reply { option } => {
                let (magic, to) = (be64(message, 0), be32(message, 8));
                let (kind, len) = (be32(message, 12), be32(message, 16));
                if magic != wire::OPTION_REPLY_MAGIC {
                    return Err(ProtocolError::Magic { of: "the answer to an option", magic });
                }
                if to != option || len > MOST_REPLY {
                    return Err(ProtocolError::OptionReply { option: to, kind, len });
                }
                self.state = State::ReplyBody { option, kind, len };
                Ok(())
            }
            State::ReplyBody { option: wire::OPT_STRUCTURED_REPLY, kind, len } => self.structured(kind, len),
            State::ReplyBody { option, kind, len: _ } => self.go(option, kind, message),
            State::Description => {
                self.description = Some((be64(message, 0), be16(message, 8)));
                self.state = State::Done;
                Ok(())
            }
            State::Done => Ok(()),
        }
    }

    fn greeting(&mut self, message: &[u8]) -> Result<(), ProtocolError> {
        let (magic, style, flags) = (be64(message, 0), be64(message, 8), be16(message, 16));
        if magic != wire::NBD_MAGIC {
            return Err(ProtocolError::Magic { of: "the server's greeting", magic });
        }
        match style {
            wire::OPTION_MAGIC => {}
            wire::OLD_STYLE_MAGIC => return Err(ProtocolError::OldStyle),
            magic => return Err(ProtocolError::Magic { of: "the server's style", magic }),
        }
        let ours = flags & (wire::FIXED_NEWSTYLE | wire::NO_ZEROES);
        self.no_zeroes = flags & wire::NO_ZEROES != 0;
        self.output.extend_from_slice(&u32::from(ours).to_be_bytes());
        match flags & wire::FIXED_NEWSTYLE {
            // Such a server ends at options that it does not know.
            0 => self.export_name(),
            _ => self.option(wire::OPT_STRUCTURED_REPLY, &[]),
        }
        Ok(())
    }

    fn option(&mut self, option: u32, data: &[u8]) {
        self.output.extend_from_slice(&wire::OPTION_MAGIC.to_be_bytes());
        self.output.extend_from_slice(&option.to_be_bytes());
        self.output.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
        self.output.extend_from_slice(data);
        self.state = State::Reply { option };
    }

    fn structured(&mut self, kind: u32, len: u32) -> Result<(), ProtocolError> {
        self.structured = match kind {
            wire::REP_ACK if len == 0 => true,
            wire::REP_ERROR.. => false,
            _ => return Err(ProtocolError::OptionReply { option: wire::OPT_STRUCTURED_REPLY, kind, len }),
        };
        let mut data = u32::try_from(self.name.len()).unwrap_or(0).to_be_bytes().to_vec();
        data.extend_from_slice(&self.name);
        data.extend_from_slice(&1u16.to_be_bytes());
        data.extend_from_slice(&wire::INFO_BLOCK_SIZE.to_be_bytes());
        self.option(wire::OPT_GO, &data);
        Ok(())
    }

    fn export_name(&mut self) {
        let name = self.name.clone();
        self.option(wire::OPT_EXPORT_NAME, &name);
        self.state = State::Description;
    }

    fn go(&mut self, option: u32, kind: u32, message: &[u8]) -> Result<(), ProtocolError> {
        let len = message.len() as u32; // as the header said
        match kind {
            wire::REP_ACK if len == 0 => {
                self.state = State::Done;
                return Ok(());
            }
            wire::REP_INFO if len >= 2 && self.infos < MOST_INFOS => self.info(option, message)?,
            wire::REP_ERR_UNSUP => {
                self.export_name();
                return Ok(());
            }
            wire::REP_ERROR.. => return Err(refusal(option, kind, message)),
            _ => return Err(ProtocolError::OptionReply { option, kind, len }),
        }
        self.infos += 1;
        self.state = State::Reply { option };
        Ok(())
    }

    fn info(&mut self, option: u32, message: &[u8]) -> Result<(), ProtocolError> {
        match (be16(message, 0), message.len()) {
            (wire::INFO_EXPORT, 12) => self.description = Some((be64(message, 2), be16(message, 10))),
            (wire::INFO_BLOCK_SIZE, 14) => {
                self.blocks = BlockSizes::new(be32(message, 2), be32(message, 6), be32(message, 10))?;
            }
            (wire::INFO_EXPORT | wire::INFO_BLOCK_SIZE, len) => {
                let kind = wire::REP_INFO;
                return Err(ProtocolError::OptionReply { option, kind, len: len as u32 });
            }
            // Names and descriptions.
            _ => {}
        }
        Ok(())
    }
}

fn refusal(option: u32, code: u32, message: &[u8]) -> ProtocolError {
    let message = String::from_utf8_lossy(message.get(..message.len().min(MOST_MESSAGE)).unwrap_or_default());
    let message = message.into_owned();
    match code {
        wire::REP_ERR_TLS_REQD => ProtocolError::Tls,
        wire::REP_ERR_UNKNOWN => ProtocolError::UnknownExport { message },
        _ => ProtocolError::Refused { option, code, message },
    }
}
