//! Which public types of the network device may be sent to another thread, and which may be used from several at once.

use virtio_core::assert_send_sync;
use virtio_net::backend::{Interest, Packet, Received, Room, SendError};
use virtio_net::{
    BuildError, Capabilities, Configuration, Generator, Loopback, MacAddress, Net, NetBackend, NetBuilder, NetCounts,
    NetHandle, NetHeader, NetQueue, NullBackend, Offloads, Pcap, Switch, SwitchPort,
};

#[test]
fn shared_by_any_threads() {
    assert_send_sync!(true, true: Net, NetBuilder, NetHandle, BuildError, dyn NetBackend, virtio_net::RateLimit);
    assert_send_sync!(true, true: Generator, Loopback, NullBackend, Pcap<Loopback>, Switch, SwitchPort);
    #[cfg(all(feature = "socket", unix))]
    assert_send_sync!(true, true: virtio_net::UnixDgram, virtio_net::UnixDgramBuilder, virtio_net::UnixStream, virtio_net::SocketError);
    #[cfg(all(feature = "tap", target_os = "linux"))]
    assert_send_sync!(true, true: virtio_net::Tap, virtio_net::TapBuilder, virtio_net::TapError);
}

#[test]
fn of_one_thread_at_a_time() {
    assert_send_sync!(true, false: dyn NetQueue);
}

#[test]
fn of_the_thread_that_made_them() {
    assert_send_sync!(false, false: Packet<'_>, Room<'_>);
}

#[test]
fn plain_data() {
    assert_send_sync!(true, true: Capabilities, Configuration, Interest, MacAddress, NetCounts, NetHeader, Offloads,
        Received<'_>, SendError);
}
