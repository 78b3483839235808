//! What a tap and its queues have in common.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::Level;
use virtio_core::LogLimit;

use super::super::sys::{self, Name, Setting};
use super::super::{Capabilities, Configuration};
use super::link::{Link, State};
use super::{HEADER_LEN, TUNNEL_HEADER_LEN, offloads};
use crate::Offloads;

/// Frames that are dropped at a start, of each queue, at most: more than wait in one.
const MOST_STALE: usize = 4096;

/// Where a queue came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tap, by its name, with these flags.
    Named { flags: libc::c_int },
    /// A tap, by open files that were attached with these flags.
    Passed { flags: libc::c_int },
    /// A macvtap.
    Macvtap,
}

/// The open files, one for each pair, and how they were found: the header's length, and whether it was little-endian.
#[derive(Debug)]
pub(super) struct Queues {
    pub(super) files: Vec<Arc<File>>,
    pub(super) found: (libc::c_int, libc::c_int),
}

#[derive(Debug)]
pub(super) struct Shared {
    kind: Kind,
    queues: Queues,
    pub(super) capabilities: Capabilities,
    pub(super) link: Link,
    /// Pairs whose queues the kernel uses: the first so many.
    enabled: AtomicU16,
    /// Moves when queues are turned on or off, or the interface is another one.
    generation: AtomicU64,
    pub(super) malformed: AtomicU64,
    /// Frames that were dropped at a start.
    pub(super) unclaimed: AtomicU64,
    settings: Mutex<Settings>,
    log: LogLimit,
}

/// What is set now.
#[derive(Clone, Copy, Debug)]
struct Settings {
    name: Name,
    configuration: Configuration,
    header_len: libc::c_int,
    /// Queues that are open.
    open: usize,
}

impl Shared {
    pub(super) fn new(kind: Kind, name: Name, queues: Queues, link: Link, receive: Offloads) -> Shared {
        let pairs = queues.files.len() as u16; // up to 256
        let mut capabilities = Capabilities {
            pairs,
            receive,
            transmit: offloads::transmit(receive),
            // The kernel looks where the packets of a flow come from; a macvtap does not.
            steers: kind != Kind::Macvtap,
            ..Capabilities::default()
        };
        if let Some(inquiry) = link.inquiry() {
            capabilities.mtu = inquiry.mtu(&name).ok().and_then(|mtu| u16::try_from(mtu).ok());
            capabilities.speed = inquiry.speed(&name).ok().flatten();
            if kind == Kind::Macvtap {
                // What is sent to other addresses does not come here.
                capabilities.mac = inquiry.mac(&name).ok().filter(|mac| mac.is_usable());
            }
        }
        Shared {
            kind,
            queues,
            capabilities,
            link,
            enabled: AtomicU16::new(pairs),
            generation: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            unclaimed: AtomicU64::new(0),
            settings: Mutex::new(Settings { name, configuration: Configuration::default(), header_len: 0, open: 0 }),
            log: LogLimit::default(),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> Name {
        self.settings().name
    }

    /// Whether the kernel uses the queues of this pair.
    #[inline]
    pub(super) fn is_enabled(&self, pair: u16) -> bool {
        pair < self.enabled.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn moved(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Brings the interface to the state that it has while no driver wants anything of it.
    pub(super) fn start(&self) -> io::Result<()> {
        self.apply(&mut self.settings(), &Configuration::default())?;
        self.look();
        Ok(())
    }

    pub(super) fn configure(&self, wanted: &Configuration) -> io::Result<()> {
        let all = self.capabilities;
        if wanted.pairs > all.pairs || !all.receive.contains(wanted.receive) || !all.transmit.contains(wanted.transmit)
        {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let settings = &mut *self.settings();
        let before = settings.configuration;
        if self.link.state() == State::Gone {
            // It is set when the interface is back.
            settings.configuration = *wanted;
            return Ok(());
        }
        self.apply(settings, wanted).or_else(|error| {
            if self.see(settings) == State::Gone {
                settings.configuration = *wanted;
                return Ok(());
            }
            let _ = self.apply(settings, &before);
            Err(error)
        })
    }

    fn apply(&self, settings: &mut Settings, wanted: &Configuration) -> io::Result<()> {
        let needs_tunnel = (wanted.receive | wanted.transmit).intersects(offloads::tunnel());
        let header_len = if needs_tunnel { TUNNEL_HEADER_LEN } else { HEADER_LEN };
        // While there are queues, each frame has the header that they know.
        let header_len = match settings.open {
            0 => header_len,
            _ if header_len <= settings.header_len => settings.header_len,
            _ => return Err(io::ErrorKind::ResourceBusy.into()),
        };
        let pairs = if wanted.pairs == 0 { self.capabilities.pairs } else { wanted.pairs };
        self.enable(pairs)?;
        // On each: some kernels have them for each queue.
        for file in self.queues.files.iter().take(pairs.into()) {
            sys::set(file, Setting::HeaderLen, header_len)?;
            offloads::set(file, wanted.receive)?;
        }
        settings.header_len = header_len;
        self.disable(pairs)?;
        if settings.configuration.pairs == 0 && settings.open == 0 {
            self.drop_stale();
        }
        settings.configuration = *wanted;
        Ok(())
    }

    /// Turns queues on that are off, up to so many pairs.
    fn enable(&self, pairs: u16) -> io::Result<()> {
        let enabled = self.enabled.load(Ordering::Acquire);
        for (pair, file) in (0..pairs).zip(&self.queues.files).skip(enabled.into()) {
            match sys::enable(file, true) {
                // It is on already.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                other => other?,
            }
            self.enabled.store(pair.saturating_add(1), Ordering::Release);
            self.moved();
        }
        Ok(())
    }

    /// Turns queues off that are on, beyond so many pairs: nothing comes there any more.
    fn disable(&self, pairs: u16) -> io::Result<()> {
        let enabled = self.enabled.load(Ordering::Acquire);
        for (pair, file) in (0..enabled).zip(&self.queues.files).skip(pairs.into()).rev() {
            // Before it is: whoever finds it off then knows why.
            self.enabled.store(pair, Ordering::Release);
            self.moved();
            sys::enable(file, false)?;
        }
        Ok(())
    }

    /// Drops frames that came while there was no driver.
    fn drop_stale(&self) {
        for file in &self.queues.files {
            let mut some = [0; 64];
            let read = (0..MOST_STALE).map(|_| (&**file).read(&mut some));
            let dropped = read.take_while(|result| matches!(result, Ok(1..))).count();
            self.unclaimed.fetch_add(dropped as u64, Ordering::Relaxed);
        }
    }

    /// A queue of this pair, and the bytes of the header before its frames.
    pub(super) fn open_queue(&self, pair: u16) -> io::Result<(Arc<File>, usize)> {
        let file = self.queues.files.get(usize::from(pair)).ok_or(io::ErrorKind::InvalidInput)?;
        let mut settings = self.settings();
        settings.open += 1;
        Ok((Arc::clone(file), usize::try_from(settings.header_len).unwrap_or(0)))
    }

    pub(super) fn close_queue(&self) {
        let mut settings = self.settings();
        settings.open = settings.open.saturating_sub(1);
    }

    /// Finds out whether the interface is there and up, and takes the one that has its place if it had gone.
    pub(super) fn look(&self) -> State {
        let settings = &mut *self.settings();
        if self.link.state() == State::Gone && !self.come_back(settings) {
            return State::Gone;
        }
        self.see(settings)
    }

    fn see(&self, settings: &mut Settings) -> State {
        let Some(first) = self.queues.files.first() else {
            return State::Gone;
        };
        let state = self.link.look(first);
        if let Ok((name, _)) = sys::attached(first) {
            settings.name = name;
        }
        if self.link.set(state) != state {
            self.moved();
            let said = match state {
                State::Up => "is up",
                State::Down => "is down",
                State::Gone => "has gone",
            };
            self.log.log(Level::Info, format_args!("the network interface {} {said}", settings.name));
        }
        state
    }

    /// The files of an interface that was deleted can be queues of another one.
    fn come_back(&self, settings: &mut Settings) -> bool {
        let (Kind::Named { flags } | Kind::Passed { flags }) = self.kind else {
            return false;
        };
        // Otherwise it would be made.
        if !self.link.exists(&settings.name) {
            return false;
        }
        for file in &self.queues.files {
            match sys::attach(file, &settings.name, flags) {
                // It was attached before another one could not be.
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                Err(error) => {
                    let name = settings.name;
                    self.log.log(Level::Debug, format_args!("the network interface {name} is not to be had: {error}"));
                    return false;
                }
                Ok(()) => {}
            }
        }
        self.enabled.store(self.capabilities.pairs, Ordering::Release);
        self.moved();
        let wanted = settings.configuration;
        let little_endian = self.queues.files.iter().try_for_each(|file| sys::set(file, Setting::LittleEndian, 1));
        little_endian.and_then(|()| self.apply(settings, &wanted)).is_ok()
    }
}

impl Drop for Shared {
    /// An interface that outlives this is left without what was set on it.
    fn drop(&mut self) {
        if self.link.state() == State::Gone {
            return;
        }
        let _ = self.enable(self.capabilities.pairs);
        let (header_len, little_endian) = self.queues.found;
        for file in &self.queues.files {
            let _ = offloads::set(file, Offloads::NONE);
            let _ = sys::set(file, Setting::HeaderLen, header_len);
            let _ = sys::set(file, Setting::LittleEndian, little_endian);
        }
    }
}
