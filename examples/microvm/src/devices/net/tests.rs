//! Tests of how network devices are opened, and of what the control socket may do to them.

use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener};

use serde_json::Value;
use virtio_core::VirtioDevice;
use virtio_net::{MacAddress, features};
use vmm_sys_util::tempdir::TempDir;
use vmm_sys_util::tempfile::TempFile;

use super::super::control::NetControl;
use super::*;

/// The device that `--net` describes, as it would be put into a machine.
fn opened(text: &str) -> Result<NetDevice, Error> {
    let net: Net = text.parse().unwrap();
    open(std::slice::from_ref(&net)).map(|mut devices| devices.pop().unwrap())
}

/// Why there is no such device.
fn refusal(text: &str) -> String {
    match opened(text) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{text:?} was opened"),
    }
}

#[test]
fn options_make_a_device() {
    for network in ["null", "loopback", "switch=s"] {
        let device = opened(&format!("{network},mac=52:54:00:12:34:56,queues=3,queue-size=64,mtu=9000")).unwrap();
        // Six queues of frames, and that for control.
        assert_eq!(device.queue_sizes().len(), 7, "{network}");
        assert_eq!(device.queue_sizes().get(..6), Some([64; 6].as_slice()), "{network}");
        let handle = device.handle();
        assert_eq!(handle.mac(), MacAddress([0x52, 0x54, 0, 0x12, 0x34, 0x56]), "{network}");
        assert!(device.features().contains(features::MTU | features::MQ), "{network}");
    }
    let hashes = features::RSS | features::HASH_REPORT;
    assert!(!opened("null,queues=2").unwrap().features().intersects(hashes));
    assert!(opened("null,queues=2,rss,hash-report").unwrap().features().contains(hashes));
    opened("null,rx-rate=requests=5:group=a,tx-rate=group=a").unwrap();
    let (one, other) = (opened("null").unwrap(), opened("null").unwrap());
    assert_ne!(one.handle().mac(), other.handle().mac());
    assert!(one.handle().mac().is_usable());
}

#[test]
fn sockets_are_connected_to() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.as_path().join(name);
    let stream = UnixListener::bind(path("stream")).unwrap();
    opened(&format!("passt={}", path("stream").display())).unwrap();
    stream.accept().unwrap();
    let _datagrams = UnixDatagram::bind(path("datagrams")).unwrap();
    opened(&format!("dgram={}", path("datagrams").display())).unwrap();
    // Older ones answer nobody who does not say this first.
    let gvproxy = UnixDatagram::bind(path("gvproxy")).unwrap();
    let _device = opened(&format!("gvproxy={}", path("gvproxy").display())).unwrap();
    let mut greeting = [0; 100];
    let (len, from) = gvproxy.recv_from(&mut greeting).unwrap();
    assert_eq!(&greeting[..len], b"VFKT");
    gvproxy.connect_addr(&from).unwrap();
    for kind in ["passt", "gvproxy", "dgram"] {
        let missing = path("missing").display().to_string();
        let refusal = refusal(&format!("{kind}={missing}"));
        assert!(refusal.starts_with(&format!("--net {missing}: ")), "{refusal}");
        assert!(refusal.contains("No such file"), "{refusal}");
    }
}

#[test]
fn files_that_are_no_taps_are_named() {
    let file = TempFile::new().unwrap();
    let fd = file.as_file().as_raw_fd();
    let refusal_of_file = refusal(&format!("fd={fd}"));
    assert!(refusal_of_file.contains("is no queue of a tap"), "{refusal_of_file}");
    // It is still this one's.
    file.as_file().metadata().unwrap();
    let refusal_of_none = refusal("fd=1000000");
    assert!(refusal_of_none.starts_with("--net fd=1000000: 1000000: Bad file descriptor"), "{refusal_of_none}");
}

#[test]
fn traffic_is_recorded_where_that_can_be() {
    let folder = TempDir::new().unwrap();
    let file = folder.as_path().join("frames.pcap");
    let device = opened(&format!("null,pcap={}", file.display())).unwrap();
    drop(device);
    // The header of a file without frames.
    assert_eq!(std::fs::metadata(&file).unwrap().len(), 24);
    let missing = folder.as_path().join("missing/frames.pcap").display().to_string();
    let refusal = refusal(&format!("null,pcap={missing}"));
    assert!(refusal.contains(&missing) && refusal.contains("No such file"), "{refusal}");
}

#[test]
fn links_and_counts_are_those_of_the_device() {
    let device = opened("null,mac=52:54:00:12:34:56").unwrap();
    let running = Running(device.handle());
    let stats = || serde_json::from_str::<Value>(&running.stats()).unwrap();
    assert_eq!(stats()["link_up"], Value::from(true));
    running.set_link(false).unwrap();
    assert_eq!(stats()["link_up"], Value::from(false));
    running.set_link(true).unwrap();
    let stats = stats();
    assert_eq!(stats["link_up"], Value::from(true));
    assert_eq!(stats["mac"], Value::from("52:54:00:12:34:56"));
    assert_eq!(stats["tx_frames"], Value::from(0));
    for (name, count) in device.handle().network_counts().iter() {
        assert_eq!(stats[format!("network_{name}")], Value::from(count));
    }
    assert_eq!(stats["network_unrecorded"], Value::from(0));
    assert!(!running.stats().contains('\n'));
    // No driver has said that it can.
    assert!(running.announce().unwrap_err().contains("cannot announce"));
}
