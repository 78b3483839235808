//! From a `--net` to a network device in a place of the machine.
//!
//! | File | Idea |
//! |---|---|
//! | `network.rs` | its network, opened |
//! | `sys.rs` | files that this process was started with |
//! | `running.rs` | what `microvm ctl` can do to it |

mod network;
mod running;
mod sys;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::sync::Arc;

use virtio_core::{DeviceHost, GuestRam, ThreadRuntime};
use virtio_net::Net as NetDevice;

use self::network::Networks;
use self::running::Running;
use super::board::Board;
use super::control::Controls;
use super::rate::Groups;
use crate::cli::net::{self as cli, Net};
use crate::error::Error;

/// Puts `device`, which is `net` opened, into the machine and makes it known to the control socket.
pub(crate) fn attach(board: &mut Board, controls: &mut Controls, net: &Net, device: NetDevice) -> Result<(), Error> {
    let name = net.network.name();
    controls.add_net(name.clone(), Arc::new(Running(device.handle())));
    let memory = GuestRam::from_vm_memory(&board.memory).map_err(bad(net))?;
    let runtime = Arc::new(ThreadRuntime::named("virtio-net"));
    let host = DeviceHost::builder(device, memory, runtime).name(name).with(net.features);
    super::attach::attach(board, net.transport, host, bad(net))
}

/// Opens the networks of all devices, and makes the devices. There need not be a machine yet.
pub(crate) fn open(nets: &[Net]) -> Result<Vec<NetDevice>, Error> {
    let mut networks = Networks::default();
    let groups = Groups::new(cli::groups(nets).unwrap_or_default());
    nets.iter().map(|net| open_one(net, &mut networks, &groups)).collect()
}

fn open_one<'n>(net: &'n Net, networks: &mut Networks<'n>, groups: &Groups<'_>) -> Result<NetDevice, Error> {
    let mut device = NetDevice::builder(networks.open(net).map_err(bad(net))?)
        .pairs(net.queues)
        .rss(net.rss)
        .hash_report(net.hash_report);
    if let Some(mac) = net.mac {
        device = device.mac(mac);
    }
    if let Some(size) = net.queue_size {
        device = device.queue_size(size);
    }
    if let Some(mtu) = net.mtu {
        device = device.mtu(mtu);
    }
    if let Some(rate) = &net.rx_rate {
        device = device.receive_limit(groups.limit(rate));
    }
    if let Some(rate) = &net.tx_rate {
        device = device.transmit_limit(groups.limit(rate));
    }
    device.build().map_err(bad(net))
}

/// For `map_err`: the device, and why it cannot be had.
fn bad<E: Display>(net: &Net) -> impl FnOnce(E) -> Error {
    |reason| Error::Device { option: "--net", path: net.network.name().into(), reason: reason.to_string() }
}
