//! Which network a network device is on.

use std::os::fd::RawFd;
use std::path::PathBuf;

/// Longest name of a network interface.
const MAX_INTERFACE: usize = 15;

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// A tap interface of the host, by name.
    Tap {
        /// Which one.
        name: String,
    },
    /// A tap or macvtap interface of the host that this process was started with: a descriptor for each pair of queues.
    Fd {
        /// Which ones.
        fds: Vec<RawFd>,
    },
    /// At a Unix stream socket, where passt listens.
    Passt {
        /// Which one.
        path: PathBuf,
    },
    /// At the Unix datagram socket at which gvproxy listens for vfkit.
    Gvproxy {
        /// Which one.
        path: PathBuf,
    },
    /// At a Unix datagram socket of another kind.
    Dgram {
        /// Which one.
        path: PathBuf,
    },
    /// With the other devices of this machine that name the same switch.
    Switch {
        /// Which one.
        name: String,
    },
    /// What is sent comes back.
    Loopback,
    /// Nothing comes, and what is sent goes nowhere: for measurements.
    Null,
}

impl Network {
    /// The network that a key names, or none where the key is about something else.
    pub(super) fn take(key: &str, value: &str) -> Result<Option<Network>, String> {
        let path = || if value.is_empty() { Err(format!("{key} is empty")) } else { Ok(PathBuf::from(value)) };
        Ok(Some(match (key, value) {
            ("tap", value) => Network::Tap { name: interface(value)? },
            ("fd", value) => Network::Fd { fds: descriptors(value)? },
            ("passt", _) => Network::Passt { path: path()? },
            ("gvproxy", _) => Network::Gvproxy { path: path()? },
            ("dgram", _) => Network::Dgram { path: path()? },
            ("switch", "") => return Err("switch is empty".to_owned()),
            ("switch", value) => Network::Switch { name: value.to_owned() },
            ("loopback", "") => Network::Loopback,
            ("null", "") => Network::Null,
            _ => return Ok(None),
        }))
    }

    /// What messages and `microvm ctl` name a device on it by.
    pub(crate) fn name(&self) -> String {
        match self {
            Network::Tap { name } | Network::Switch { name } => name.clone(),
            Network::Fd { fds } => {
                format!("fd={}", fds.iter().map(ToString::to_string).collect::<Vec<_>>().join(":"))
            }
            Network::Passt { path } | Network::Gvproxy { path } | Network::Dgram { path } => path.display().to_string(),
            Network::Loopback => "loopback".to_owned(),
            Network::Null => "null".to_owned(),
        }
    }
}

/// A name that the host's kernel takes as it is: a percent sign would have it choose another one.
fn interface(value: &str) -> Result<String, String> {
    let byte = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':' | b'%');
    let fits = (1..=MAX_INTERFACE).contains(&value.len()) && value.bytes().all(byte);
    if !fits || matches!(value, "." | "..") {
        return Err(format!(
            "tap={value}: the name of an interface has 1 to {MAX_INTERFACE} characters, none of them /:%"
        ));
    }
    Ok(value.to_owned())
}

/// Numbers with colons between them.
fn descriptors(value: &str) -> Result<Vec<RawFd>, String> {
    let mut fds = Vec::new();
    for part in value.split(':') {
        let fd = part.parse().ok().filter(|fd: &RawFd| *fd >= 0 && !part.starts_with('+'));
        let fd =
            fd.ok_or_else(|| format!("fd={value}: the number of an open file is needed, or N:N... for several pairs"))?;
        if fds.contains(&fd) {
            return Err(format!("fd={value}: {fd} is given twice"));
        }
        fds.push(fd);
    }
    Ok(fds)
}
