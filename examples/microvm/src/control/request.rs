//! What can be asked for, and how it is written.

use std::fmt;
use std::str::FromStr;

/// A request. A disk is named by its serial number, a network device by its network or by its number on the command line.
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
    /// Say what a disk or a network device has counted.
    Stats {
        /// Which one.
        device: String,
    },
    /// Say whether a network device has a link.
    Link {
        /// Which one.
        device: String,
        /// Whether it has.
        up: bool,
    },
    /// Have the guest announce itself at a network device.
    Announce {
        /// Which one.
        device: String,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Request::Resize { serial, bytes } => write!(f, "resize {serial} {bytes}"),
            Request::Resume { serial } => write!(f, "resume {serial}"),
            Request::Stats { device } => write!(f, "stats {device}"),
            Request::Link { device, up } => write!(f, "link {device} {}", if *up { "up" } else { "down" }),
            Request::Announce { device } => write!(f, "announce {device}"),
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
            ["resume", ..] => Err("resume takes a serial number".to_owned()),
            ["stats", device] => Ok(Request::Stats { device: (*device).to_owned() }),
            ["stats", ..] => Err("stats takes a serial number or a network device".to_owned()),
            ["link", device, state @ ("up" | "down")] => {
                Ok(Request::Link { device: (*device).to_owned(), up: *state == "up" })
            }
            ["link", ..] => Err("link takes a network device, and up or down".to_owned()),
            ["announce", device] => Ok(Request::Announce { device: (*device).to_owned() }),
            ["announce", ..] => Err("announce takes a network device".to_owned()),
            _ => Err("unknown request, there are: resize, resume, stats, link and announce".to_owned()),
        }
    }
}
