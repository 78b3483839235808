//! A process that uses a network does not end with it.

use std::os::unix::net::{UnixDatagram, UnixStream as Stream};
use std::process::Command;

use virtio_net::{NetBackend, UnixDgram, UnixStream};

use crate::{send, sys};

const CHILD: &str = "VIRTIO_NET_CHILD";

#[test]
fn whoever_sends_to_somebody_who_has_gone_lives_on() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.arg("signal::whoever_sends_to_somebody_who_has_gone_lives_on").env(CHILD, "1");
    let output = child.output().expect("this program");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{}: {said}", output.status);
}

fn child() {
    sys::be_ended_by_pipes();
    let (ours, theirs) = Stream::pair().expect("sockets");
    let stream = UnixStream::from_socket(ours).expect("a network");
    let (ours, others) = UnixDatagram::pair().expect("sockets");
    let datagrams = UnixDgram::from_socket(ours).expect("a network");
    drop((theirs, others));
    for network in [&stream as &dyn NetBackend, &datagrams] {
        let mut queue = network.open_queue(0).expect("a queue");
        for _ in 0..3 {
            let _ = send(&mut *queue, &[0; 60]);
        }
        assert!(!queue.is_connected());
    }
}
