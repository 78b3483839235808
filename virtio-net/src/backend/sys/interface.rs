//! What the system says of network interfaces.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::checked;
use crate::MacAddress;

/// The name of an interface.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::backend) struct Name([u8; libc::IFNAMSIZ]);

impl Name {
    /// None where no interface can have it.
    pub(in crate::backend) fn new(name: &str) -> Option<Name> {
        let bytes = name.as_bytes();
        let bad = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0 | b'/' | b':');
        if bytes.is_empty() || name == "." || name == ".." || bytes.iter().any(bad) {
            return None;
        }
        let mut it = Name::default();
        // The last byte stays zero.
        it.0.get_mut(..bytes.len()).filter(|_| bytes.len() < libc::IFNAMSIZ)?.copy_from_slice(bytes);
        Some(it)
    }

    pub(super) fn of(request: &libc::ifreq) -> Name {
        Name(request.ifr_name.map(|byte| byte as u8)) // its bits
    }

    pub(in crate::backend) fn as_bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

/// A request about the interface of this name, zeros otherwise.
pub(super) fn request(name: &Name) -> libc::ifreq {
    // SAFETY: an `ifreq` is numbers and a pointer that nothing follows: zeros are a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name = name.0.map(|byte| byte as libc::c_char); // its bits
    request
}

/// `struct ethtool_cmd` of `linux/ethtool.h`, all of it: the kernel writes no more.
#[repr(C)]
#[derive(Default)]
struct EthtoolCommand {
    cmd: u32,
    supported: u32,
    advertising: u32,
    speed: u16,
    duplex: u8,
    port: u8,
    phy_address: u8,
    transceiver: u8,
    autoneg: u8,
    mdio_support: u8,
    maxtxpkt: u32,
    maxrxpkt: u32,
    speed_hi: u16,
    eth_tp_mdix: u8,
    eth_tp_mdix_ctrl: u8,
    lp_advertising: u32,
    reserved: [u32; 2],
}

const _: () = assert!(size_of::<EthtoolCommand>() == 44);

/// `ETHTOOL_GSET`.
const GET_SETTINGS: u32 = 1;

/// A socket to ask about interfaces, for the network namespace that it was made in.
#[derive(Debug)]
pub(in crate::backend) struct Inquiry(OwnedFd);

impl Inquiry {
    pub(in crate::backend) fn new() -> io::Result<Inquiry> {
        // SAFETY: takes no pointer.
        let socket = checked(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: it was opened just now, and nobody else has it.
        Ok(Inquiry(unsafe { OwnedFd::from_raw_fd(socket) }))
    }

    fn ask(&self, what: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
        // SAFETY: the kernel reads and writes one `ifreq`, which is lent for the call. The requests of this module follow no
        // pointer in it, but for SIOCETHTOOL, and that one points at a struct that its caller borrows for the call.
        checked(unsafe { libc::ioctl(self.0.as_raw_fd(), what as libc::Ioctl, std::ptr::from_mut(request)) }).map(drop)
    }

    /// `IFF_UP` and others.
    pub(in crate::backend) fn flags(&self, name: &Name) -> io::Result<libc::c_int> {
        let mut request = request(name);
        self.ask(libc::SIOCGIFFLAGS, &mut request)?;
        // SAFETY: the kernel has put the flags there; they were zeros before, and any bits are flags.
        Ok(libc::c_int::from(unsafe { request.ifr_ifru.ifru_flags }) & 0xffff)
    }

    /// Bytes of the longest packet.
    pub(in crate::backend) fn mtu(&self, name: &Name) -> io::Result<libc::c_int> {
        let mut request = request(name);
        self.ask(libc::SIOCGIFMTU, &mut request)?;
        // SAFETY: the kernel has put a number there; it was zeros before, and any bits are a number.
        Ok(unsafe { request.ifr_ifru.ifru_mtu })
    }

    /// Sets the bytes of the longest packet.
    pub(in crate::backend) fn set_mtu(&self, name: &Name, mtu: u16) -> io::Result<()> {
        let mut request = request(name);
        request.ifr_ifru.ifru_mtu = mtu.into();
        self.ask(libc::SIOCSIFMTU, &mut request)
    }

    /// Brings the interface up.
    pub(in crate::backend) fn set_up(&self, name: &Name) -> io::Result<()> {
        let flags = self.flags(name)? | libc::IFF_UP;
        let mut request = request(name);
        request.ifr_ifru.ifru_flags = flags as libc::c_short; // 16 bits by definition
        self.ask(libc::SIOCSIFFLAGS, &mut request)
    }

    /// The interface's own address.
    pub(in crate::backend) fn mac(&self, name: &Name) -> io::Result<MacAddress> {
        let mut request = request(name);
        self.ask(libc::SIOCGIFHWADDR, &mut request)?;
        Ok(address(&request))
    }

    /// In Mbit/s, where the interface knows it.
    pub(in crate::backend) fn speed(&self, name: &Name) -> io::Result<Option<u32>> {
        let (mut request, mut command) = (request(name), EthtoolCommand { cmd: GET_SETTINGS, ..Default::default() });
        request.ifr_ifru.ifru_data = (&raw mut command).cast();
        self.ask(libc::SIOCETHTOOL, &mut request)?;
        let speed = u32::from(command.speed) | u32::from(command.speed_hi) << 16;
        Ok(Some(speed).filter(|speed| !matches!(*speed, 0 | u32::MAX)))
    }
}

/// The address of the interface that `file` is a queue of.
pub(in crate::backend) fn mac_of_queue(file: &File) -> io::Result<MacAddress> {
    let mut request = request(&Name::default());
    // SAFETY: the kernel writes one `ifreq`, which is ours and lives for the call.
    checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::SIOCGIFHWADDR as libc::Ioctl, &raw mut request) })?;
    Ok(address(&request))
}

fn address(request: &libc::ifreq) -> MacAddress {
    // SAFETY: the kernel has put an address there; it was zeros before, and any bits are one.
    let data = unsafe { request.ifr_ifru.ifru_hwaddr.sa_data };
    let [a, b, c, d, e, f, ..] = data.map(|byte| byte as u8); // its bits
    MacAddress([a, b, c, d, e, f])
}
