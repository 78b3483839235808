//! The network of a device, opened.

use std::collections::HashMap;
use std::sync::Arc;

use virtio_net::{Loopback, NetBackend, NullBackend, Pcap, Switch, Tap, UnixDgram, UnixStream};

use super::sys;
use crate::cli::net::{Net, Network};

/// What gvproxy is told first, so that it knows who is there; newer ones take it, and need it no more.
const GVPROXY_GREETING: &[u8] = b"VFKT";

/// What devices have in common.
#[derive(Default)]
pub(super) struct Networks<'n> {
    switches: HashMap<&'n str, Switch>,
}

impl<'n> Networks<'n> {
    /// Opens the network of `net`, and the file in which its traffic is recorded. The error says why it cannot be had.
    pub(super) fn open(&mut self, net: &'n Net) -> Result<Arc<dyn NetBackend>, String> {
        let network: Arc<dyn NetBackend> = match &net.network {
            Network::Tap { name } => Arc::new(Tap::by_name(name).pairs(net.queues).open().map_err(why)?),
            Network::Fd { fds } => {
                let files = fds.iter().map(|fd| sys::open_file(*fd).map_err(|error| format!("{fd}: {error}")));
                Arc::new(Tap::by_files(files.collect::<Result<_, _>>()?).open().map_err(why)?)
            }
            Network::Passt { path } => Arc::new(UnixStream::connect(path).map_err(why)?),
            Network::Gvproxy { path } => {
                Arc::new(UnixDgram::builder(path).greeting(GVPROXY_GREETING).connect().map_err(why)?)
            }
            Network::Dgram { path } => Arc::new(UnixDgram::connect(path).map_err(why)?),
            Network::Switch { name } => Arc::new(self.switches.entry(name).or_default().port_with_pairs(net.queues)),
            Network::Loopback => Arc::new(Loopback::new()),
            Network::Null => Arc::new(NullBackend::new()),
        };
        match &net.pcap {
            Some(path) => {
                let recorded = Pcap::create(network, path).map_err(|error| format!("{}: {error}", path.display()))?;
                Ok(Arc::new(recorded))
            }
            None => Ok(network),
        }
    }
}

fn why(error: impl std::error::Error) -> String {
    error.to_string()
}
