//! Tests of the requests and of the socket.

use std::sync::{Arc, Mutex};

use vmm_sys_util::tempdir::TempDir;

use super::Request;
use super::client::send;
use super::server::ControlServer;
use crate::devices::control::{Controls, DiskControl};

fn resize(serial: &str, bytes: u64) -> Request {
    Request::Resize { serial: serial.to_owned(), bytes }
}

#[test]
fn requests_survive_the_wire() {
    let serial = || "root".to_owned();
    for (request, line) in [
        (resize("root", 1 << 30), "resize root 1073741824"),
        (Request::Resume { serial: serial() }, "resume root"),
        (Request::Stats { serial: serial() }, "stats root"),
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
        ("stats", "stats takes a serial number"),
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
    let stats = send(&socket, &Request::Stats { serial: "root".to_owned() }).unwrap();
    assert_eq!(stats, r#"{"reads":3, "writes":4}"#);

    drop(server);
    assert!(!socket.exists());
    assert!(send(&socket, &resize("root", 1)).is_err());
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
