//! In the place of the network that the tests of the device have, which is not needed here.

use virtio_net::{Capabilities, NetBackend, NetQueue};

#[derive(Clone)]
pub(crate) struct Network(Capabilities);

pub(crate) struct State {
    pub(crate) can: Capabilities,
}

impl Network {
    pub(crate) fn new(pairs: u16) -> Network {
        let mut can = Capabilities::default();
        can.pairs = pairs;
        Network(can)
    }

    pub(crate) fn state(&self) -> State {
        State { can: self.0 }
    }

    pub(crate) fn inject(&self, _pair: usize, _header: virtio_net::NetHeader, _frame: &[u8]) {}
}

impl NetBackend for Network {
    fn capabilities(&self) -> Capabilities {
        self.0
    }

    fn open_queue(&self, _pair: u16) -> std::io::Result<Box<dyn NetQueue>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }
}
