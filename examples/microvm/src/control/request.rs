//! What can be asked for, and how it is written.

use std::fmt;
use std::str::FromStr;

/// A request. A disk is named by its serial number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Change the capacity of a disk.
    Resize {
        /// Which one.
        serial: String,
        /// Its new capacity.
        bytes: u64,
    },
    /// Let a disk go on that stopped.
    Resume {
        /// Which one.
        serial: String,
    },
    /// Say what a disk has counted.
    Stats {
        /// Which one.
        serial: String,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Resize { serial, bytes } => write!(f, "resize {serial} {bytes}"),
            Request::Resume { serial } => write!(f, "resume {serial}"),
            Request::Stats { serial } => write!(f, "stats {serial}"),
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
            ["resume", serial] => Ok(Request::Resume { serial: (*serial).to_owned() }),
            ["stats", serial] => Ok(Request::Stats { serial: (*serial).to_owned() }),
            [request @ ("resume" | "stats"), ..] => Err(format!("{request} takes a serial number")),
            _ => Err("unknown request, there are: resize, resume and stats".to_owned()),
        }
    }
}
