//! Opening an interface.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::sys::{self, Name, Setting};
use super::error::TapError;
use super::link::Link;
use super::shared::{Kind, Queues, Shared};
use super::{Tap, offloads};

const TUN: &str = "/dev/net/tun";
/// `/dev/net/tun` as the kernel numbers it.
const TUN_DEVICE: (libc::c_uint, libc::c_uint) = (10, 200);
const FLAGS: libc::c_int = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
/// The most queues of an interface.
const MOST_PAIRS: usize = 256;

/// Which interface a [`Tap`] is to be, and how.
///
/// Send and Sync. No call blocks but [`open`](Self::open), for as long as system calls on interfaces take.
#[derive(Debug)]
#[must_use]
pub struct TapBuilder {
    place: Place,
    pairs: u16,
    options: Options,
}

/// What is set on the interface.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    send_buffer: Option<u32>,
    mtu: Option<u16>,
    up: bool,
}

#[derive(Debug)]
enum Place {
    Name(String),
    Macvtap(PathBuf),
    Files(Vec<OwnedFd>),
}

impl TapBuilder {
    fn new(place: Place, pairs: u16) -> TapBuilder {
        TapBuilder { place, pairs, options: Options::default() }
    }

    pub(super) fn name(name: String) -> TapBuilder {
        TapBuilder::new(Place::Name(name), 1)
    }

    pub(super) fn macvtap(path: PathBuf) -> TapBuilder {
        TapBuilder::new(Place::Macvtap(path), 1)
    }

    pub(super) fn files(files: Vec<OwnedFd>) -> TapBuilder {
        let pairs = u16::try_from(files.len()).unwrap_or(u16::MAX);
        TapBuilder::new(Place::Files(files), pairs)
    }

    /// Pairs of queues: 1 if not said otherwise. Of open files, each is a pair, and this says nothing.
    pub fn pairs(mut self, pairs: u16) -> TapBuilder {
        if !matches!(self.place, Place::Files(_)) {
            self.pairs = pairs;
        }
        self
    }

    /// Bytes of frames that may wait in the host's network, of each pair: without limit if not said otherwise. When there
    /// are as many, the driver's frames wait in their queue.
    pub fn send_buffer(mut self, bytes: u32) -> TapBuilder {
        self.options.send_buffer = Some(bytes);
        self
    }

    /// Bytes of the interface's longest packet, which the device then offers its driver, from 68 on: as it is if not said
    /// otherwise, which is 1500 for one that is made. Only who administers the network can set it. Set when it is opened, not when
    /// one takes the place of one that was deleted.
    pub fn mtu(mut self, mtu: u16) -> TapBuilder {
        self.options.mtu = Some(mtu);
        self
    }

    /// Brings the interface up, as `ip link set up` does: one that is made is down. Only who administers the network can.
    ///
    /// That gives it no address, and puts it into no bridge. Done when it is opened, not when one takes the place of one that
    /// was deleted.
    pub fn up(mut self) -> TapBuilder {
        self.options.up = true;
        self
    }

    /// Opens it. Frames that came before are lost.
    ///
    /// # Errors
    /// [`TapError`].
    pub fn open(self) -> Result<Tap, TapError> {
        let pairs = match &self.place {
            Place::Files(files) => files.len(),
            _ => self.pairs.into(),
        };
        if !(1..=MOST_PAIRS).contains(&pairs) {
            return Err(TapError::Pairs { pairs });
        }
        let (kind, name, files) = match self.place {
            Place::Name(name) => {
                let (name, flags, files) = by_name(&name, self.pairs)?;
                (Kind::Named { flags }, name, files)
            }
            Place::Macvtap(path) => {
                let open = |_| open(&path).map_err(|source| TapError::Open { path: path.clone(), source });
                let files = (0..pairs).map(open).collect::<Result<Vec<_>, _>>()?;
                let (_, name) = check(&files)?;
                (Kind::Macvtap, name, files)
            }
            Place::Files(files) => {
                let files: Vec<_> = files.into_iter().map(File::from).collect();
                let (kind, name) = check(&files)?;
                (kind, name, files)
            }
        };
        finish(kind, name, files, self.options)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Attaches to the interface of this name, or makes it.
fn by_name(name: &str, pairs: u16) -> Result<(Name, libc::c_int, Vec<File>), TapError> {
    let wanted = Name::new(name).ok_or_else(|| TapError::Name { name: name.to_owned() })?;
    let tun = || open(Path::new(TUN)).map_err(|source| TapError::Open { path: TUN.into(), source });
    let failed = |source: io::Error| {
        let name = name.to_owned();
        match source.raw_os_error() {
            Some(libc::EPERM) => TapError::Permission { name },
            Some(libc::EBUSY) => TapError::Busy { name },
            Some(libc::EINVAL) => TapError::Kind { name, pairs },
            _ => TapError::Setting { name, what: "the use", source },
        }
    };
    let first = tun()?;
    // An interface with several queues says so, also where one is wanted.
    let mut flags = if pairs > 1 { FLAGS | libc::IFF_MULTI_QUEUE } else { FLAGS };
    let mut attached = sys::attach(&first, &wanted, flags);
    if matches!(&attached, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) && pairs == 1 {
        flags |= libc::IFF_MULTI_QUEUE;
        attached = sys::attach(&first, &wanted, flags);
    }
    attached.map_err(failed)?;
    // The kernel puts a number in the place of `%d`.
    let (real, _) = sys::attached(&first).map_err(failed)?;
    let mut files = vec![first];
    for _ in 1..pairs {
        let file = tun()?;
        sys::attach(&file, &real, flags).map_err(failed)?;
        files.push(file);
    }
    Ok((real, flags, files))
}

/// Looks at what open files are.
fn check(files: &[File]) -> Result<(Kind, Name), TapError> {
    let mut found: Option<(Kind, Name)> = None;
    for (index, file) in files.iter().enumerate() {
        let not_a_tap = |source| TapError::NotATap { index, source };
        let metadata = file.metadata().map_err(|error| not_a_tap(Some(error)))?;
        if !metadata.file_type().is_char_device() {
            return Err(not_a_tap(None));
        }
        let (name, flags) = sys::attached(file).map_err(|error| not_a_tap(Some(error)))?;
        if flags & libc::IFF_TAP == 0 || flags & libc::IFF_NO_PI == 0 {
            return Err(not_a_tap(None));
        }
        if flags & libc::IFF_VNET_HDR == 0 {
            return Err(TapError::NoHeader { index, name: name.to_string() });
        }
        let device = (libc::major(metadata.rdev()), libc::minor(metadata.rdev()));
        let kind = match device {
            TUN_DEVICE => Kind::Passed { flags: flags & (FLAGS | libc::IFF_MULTI_QUEUE) },
            _ => Kind::Macvtap,
        };
        match &found {
            None => found = Some((kind, name)),
            Some(first) if *first == (kind, name) => {}
            Some(_) => return Err(TapError::Mixed { index, name: name.to_string() }),
        }
        sys::set_nonblocking(file).map_err(|error| not_a_tap(Some(error)))?;
    }
    found.ok_or(TapError::Pairs { pairs: 0 })
}

/// Finds out what the interface can do.
fn finish(kind: Kind, name: Name, files: Vec<File>, options: Options) -> Result<Tap, TapError> {
    let failed = |what| move |source| TapError::Setting { name: name.to_string(), what, source };
    let first = files.first().ok_or(TapError::Pairs { pairs: 0 })?;
    let found = (
        sys::get(first, Setting::HeaderLen).map_err(failed("the header's length"))?,
        sys::get(first, Setting::LittleEndian).unwrap_or(0),
    );
    let mut receive = offloads::probe(first).map_err(failed("what is left to do with frames"))?;
    // Tunnels have fields in the header: as long as they fit in.
    if sys::set(first, Setting::HeaderLen, super::TUNNEL_HEADER_LEN).is_err() {
        receive = receive - offloads::tunnel();
    }
    for file in &files {
        sys::set(file, Setting::LittleEndian, 1).map_err(failed("the byte order"))?;
        if let Some(bytes) = options.send_buffer {
            let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX).max(1);
            sys::set_send_buffer(file, bytes).map_err(failed("the send buffer"))?;
        }
    }
    let link = Link::new(kind == Kind::Macvtap, first, &name);
    let elsewhere = || io::Error::new(io::ErrorKind::NotFound, "it is in another network namespace");
    let administer = || link.inquiry().ok_or_else(elsewhere);
    if let Some(mtu) = options.mtu {
        administer().and_then(|inquiry| inquiry.set_mtu(&name, mtu)).map_err(failed("the MTU"))?;
    }
    if options.up {
        administer().and_then(|inquiry| inquiry.set_up(&name)).map_err(failed("the state"))?;
    }
    let queues = Queues { files: files.into_iter().map(Arc::new).collect(), found };
    let shared = Shared::new(kind, name, queues, link, receive);
    shared.start().map_err(failed("the header's length"))?;
    Ok(Tap { shared: Arc::new(shared) })
}
