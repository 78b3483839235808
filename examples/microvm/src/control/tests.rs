//! Tests of the requests and of the socket.

use std::sync::{Arc, Mutex};

use vmm_sys_util::tempdir::TempDir;

use super::Request;
use super::client::send;
use super::server::ControlServer;
use crate::devices::control::{Controls, DiskControl, NetControl};

fn resize(serial: &str, bytes: u64) -> Request {
    Request::Resize { serial: serial.to_owned(), bytes }
}

#[test]
fn requests_survive_the_wire() {
    let serial = || "root".to_owned();
    for (request, line) in [
        (resize("root", 1 << 30), "resize root 1073741824"),
        (Request::Resume { serial: serial() }, "resume root"),
        (Request::Stats { device: serial() }, "stats root"),
        (Request::Link { device: "tap0".to_owned(), up: true }, "link tap0 up"),
        (Request::Link { device: "0".to_owned(), up: false }, "link 0 down"),
        (Request::Announce { device: "/run/passt".to_owned() }, "announce /run/passt"),
    ] {
        assert_eq!(request.to_string(), line);
        assert_eq!(line.parse(), Ok(request));
    }
}

#[test]
fn wrong_requests_are_explained() {
    for (line, reason) in [
        ("", "unknown request"),
        ("halt", "unknown request"),
        ("resize root", "takes a serial number"),
        ("resize root 1 2", "takes a serial number"),
        ("resize root many", "many"),
        ("resume", "resume takes a serial number"),
        ("resume root 1", "resume takes a serial number"),
        ("stats", "stats takes a serial number or a network device"),
        ("link", "link takes a network device, and up or down"),
        ("link tap0", "and up or down"),
        ("link tap0 sideways", "and up or down"),
        ("link tap0 up down", "and up or down"),
        ("announce", "announce takes a network device"),
        ("announce tap0 now", "announce takes a network device"),
    ] {
        let refusal = line.parse::<Request>().unwrap_err();
        assert!(refusal.contains(reason), "{line:?}: {refusal}");
    }
}

/// A disk that takes sizes up to 1000, and never stopped.
#[derive(Default)]
struct Small(Mutex<u64>);

impl DiskControl for Small {
    fn resize(&self, bytes: u64) -> Result<(), String> {
        if bytes > 1000 {
            return Err("too large".to_owned());
        }
        *self.0.lock().unwrap() = bytes;
        Ok(())
    }

    fn resume(&self) -> Result<(), String> {
        Err("not stopped".to_owned())
    }

    fn stats(&self) -> String {
        r#"{"reads":3, "writes":4}"#.to_owned()
    }
}

#[test]
fn a_client_reaches_the_device_and_hears_why_not() {
    let folder = TempDir::new().unwrap();
    let socket = folder.as_path().join("control");
    let disk = Arc::new(Small::default());
    let mut controls = Controls::default();
    controls.add_disk("root".to_owned(), disk.clone());
    let server = ControlServer::start(&socket, controls).unwrap();

    assert_eq!(send(&socket, &resize("root", 512)).unwrap(), "ok");
    assert_eq!(*disk.0.lock().unwrap(), 512);
    let refusal = send(&socket, &resize("root", 5000)).unwrap_err();
    assert_eq!(refusal.to_string(), "too large");
    let refusal = send(&socket, &resize("data", 1)).unwrap_err();
    assert!(refusal.to_string().contains("data"));
    let refusal = send(&socket, &Request::Resume { serial: "root".to_owned() }).unwrap_err();
    assert_eq!(refusal.to_string(), "not stopped");
    let stats = send(&socket, &Request::Stats { device: "root".to_owned() }).unwrap();
    assert_eq!(stats, r#"{"reads":3, "writes":4}"#);

    drop(server);
    assert!(!socket.exists());
    assert!(send(&socket, &resize("root", 1)).is_err());
}

/// A network device that tells what was done to it.
#[derive(Default)]
struct Cable {
    up: Mutex<Option<bool>>,
    announced: Mutex<u32>,
}

impl NetControl for Cable {
    fn set_link(&self, up: bool) -> Result<(), String> {
        *self.up.lock().unwrap() = Some(up);
        Ok(())
    }

    fn announce(&self) -> Result<(), String> {
        *self.announced.lock().unwrap() += 1;
        if *self.up.lock().unwrap() == Some(false) { Err("no link".to_owned()) } else { Ok(()) }
    }

    fn stats(&self) -> String {
        r#"{"transmit_frames":5}"#.to_owned()
    }
}

#[test]
fn network_devices_have_a_name_and_a_number() {
    let folder = TempDir::new().unwrap();
    let socket = folder.as_path().join("control");
    let cables: Vec<Arc<Cable>> = (0..4).map(|_| Arc::default()).collect();
    let mut controls = Controls::default();
    for (name, cable) in ["tap0", "s", "s", "0"].into_iter().zip(&cables) {
        controls.add_net(name.to_owned(), cable.clone());
    }
    let _server = ControlServer::start(&socket, controls).unwrap();
    let link = |device: &str, up| send(&socket, &Request::Link { device: device.to_owned(), up });
    let announce = |device: &str| send(&socket, &Request::Announce { device: device.to_owned() });

    assert_eq!(link("tap0", false).unwrap(), "ok");
    assert_eq!(link("2", true).unwrap(), "ok");
    // A name comes before a number.
    assert_eq!(link("0", true).unwrap(), "ok");
    let up: Vec<_> = cables.iter().map(|cable| *cable.up.lock().unwrap()).collect();
    assert_eq!(up, [Some(false), None, Some(true), Some(true)]);
    assert_eq!(announce("2").unwrap(), "ok");
    assert_eq!(announce("tap0").unwrap_err().to_string(), "no link");
    let announced: Vec<_> = cables.iter().map(|cable| *cable.announced.lock().unwrap()).collect();
    assert_eq!(announced, [1, 0, 1, 0]);

    for (device, reason) in [
        ("s", "several network devices are on s"),
        ("4", "there is no network device 4"),
        ("-1", "there is no network device -1"),
        ("eth0", "there is no network device eth0"),
    ] {
        let refusal = link(device, true).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
    let stats = |device: &str| send(&socket, &Request::Stats { device: device.to_owned() });
    assert_eq!(stats("tap0").unwrap(), r#"{"transmit_frames":5}"#);
    let refusal = stats("root").unwrap_err().to_string();
    assert_eq!(refusal, "no disk has the serial number root, and there is no network device root");
}

#[test]
fn a_socket_left_behind_is_replaced_but_not_one_in_use() {
    let folder = TempDir::new().unwrap();
    let socket = folder.as_path().join("control");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let server = ControlServer::start(&socket, Controls::default()).unwrap();
    assert!(ControlServer::start(&socket, Controls::default()).is_err());
    drop(server);
}
