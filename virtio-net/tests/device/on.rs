//! A device on networks of the crate.

use std::sync::Arc;
use std::time::Duration;

use virtio_core::testing::TestMemory;
use virtio_core::{DeviceHost, InlineRuntime};
use virtio_net::{MacAddress, Net, NetBackend, NetBuilder};

use crate::frames::OWN;
use crate::network::Network;
use crate::rig::{Port, Rig};

/// A device on any network. That of the test is not used.
pub(crate) fn on<P: Port>(
    backend: impl NetBackend + 'static,
    change: impl FnOnce(NetBuilder) -> NetBuilder,
    memory: TestMemory,
) -> Rig<P> {
    let builder = Net::builder(backend).mac(MacAddress(OWN)).queue_size(16);
    let net = change(builder).build().expect("a device");
    let (handle, runtime) = (net.handle(), InlineRuntime::new());
    let host = DeviceHost::builder(net, memory.ram().clone(), Arc::new(runtime.clone()))
        .reset_wait(Duration::from_millis(1))
        .reset_limit(Duration::from_millis(20));
    Rig { port: P::connect(host), handle, memory, runtime, network: Network::new(1), header_len: 12 }
}
