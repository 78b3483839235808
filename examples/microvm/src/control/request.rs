//! What can be asked for, and how it is written.

use std::fmt;
use std::str::FromStr;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Change the capacity of a disk.
    Resize {
        /// The disk's serial number.
        serial: String,
        /// Its new capacity.
        bytes: u64,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Resize { serial, bytes } => write!(f, "resize {serial} {bytes}"),
        }
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["resize", serial, bytes] => Ok(Request::Resize {
                serial: (*serial).to_owned(),
                bytes: bytes.parse().map_err(|_| format!("{bytes} is not a number of bytes"))?,
            }),
            ["resize", ..] => Err("resize takes a serial number and a number of bytes".to_owned()),
            _ => Err("unknown request, there is: resize".to_owned()),
        }
    }
}
