#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use virtio_core::Sources;

use crate::backend::bench::{frame, receive, receive_event, receive_with, send, send_with};
use crate::backend::{
    Generator, Interest, Loopback, NetBackend, NetQueue, NetworkCounts, NullBackend, Packet, Pcap, Received, Room,
    SendError,
};
use crate::{NetHeader, Offloads};

/// A file in memory, which takes so many bytes, and then fails once.
#[derive(Clone)]
struct Tape(Arc<Mutex<Vec<u8>>>, Arc<AtomicUsize>);

impl Tape {
    fn new(room: usize) -> Tape {
        Tape(Arc::default(), Arc::new(AtomicUsize::new(room)))
    }

    fn records(&self) -> Vec<Record> {
        parse(&self.0.lock().unwrap()).2
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut tape = self.0.lock().unwrap();
        let room = self.1.load(SeqCst).saturating_sub(tape.len()).min(bytes.len());
        if room == 0 && !bytes.is_empty() {
            // Room that comes too late.
            self.1.store(usize::MAX, SeqCst);
            return Err(io::ErrorKind::StorageFull.into());
        }
        tape.extend_from_slice(&bytes[..room]);
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Nanoseconds, bytes of the frame, and those that were kept.
type Record = (u64, u32, Vec<u8>);

/// The snaplen, the link type and the frames of a file.
fn parse(file: &[u8]) -> (u32, u32, Vec<Record>) {
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!((word(0), word(4), word(8), word(12)), (0xa1b2_3c4d, 0x0004_0002, 0, 0));
    let mut records = Vec::new();
    let mut at = 24;
    while at < file.len() {
        let [seconds, nanoseconds, kept, len] = [0, 4, 8, 12].map(|field| word(at + field));
        assert!(nanoseconds < 1_000_000_000 && kept <= len && kept <= word(16));
        let time = u64::from(seconds) * 1_000_000_000 + u64::from(nanoseconds);
        records.push((time, len, file[at + 16..at + 16 + kept as usize].to_vec()));
        at += 16 + kept as usize;
    }
    (word(16), word(20), records)
}

fn frames(records: Vec<Record>) -> Vec<Vec<u8>> {
    records.into_iter().map(|(_, _, frame)| frame).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

#[test]
fn what_goes_both_ways_is_recorded_in_order_with_its_time() {
    let tape = Tape::new(usize::MAX);
    let network = Pcap::to(Loopback::new(), tape.clone(), Pcap::<Loopback>::WHOLE).unwrap();
    assert_eq!(parse(&tape.0.lock().unwrap()), (262_144, 1, vec![]), "a file with no frames is one");
    let mut queue = network.open_queue(0).unwrap();
    let header = NetHeader { flags: 1, csum_start: 34, csum_offset: 16, ..NetHeader::default() };
    let before = now();
    let sent = [frame(1, 2, 60, 1), frame(2, 1, 1514, 2), frame(1, 2, 65557, 3)];
    for frame in &sent {
        send_with(&mut *queue, header, frame).unwrap();
    }
    queue.flush();
    let after = now();
    let records = tape.records();
    assert!(records.is_sorted_by_key(|(time, ..)| *time));
    assert!(records.iter().all(|(time, len, frame)| (before..=after).contains(time) && *len as usize == frame.len()));
    assert_eq!(frames(records), sent);
    for frame in &sent {
        assert_eq!(receive_with(&mut *queue).unwrap(), Some((header, frame.clone())));
    }
    assert_eq!(receive(&mut *queue), None);
    assert_eq!(frames(tape.records()), [sent.clone(), sent].concat(), "nothing more is there: a batch has ended");
    assert_eq!((network.recorded(), network.missing()), (6, 0));
}

#[test]
fn snaplen_bounds_what_is_kept() {
    let tape = Tape::new(usize::MAX);
    let network = Pcap::to(NullBackend::new(), tape.clone(), 64).unwrap();
    let mut queue = network.open_queue(0).unwrap();
    for len in [63, 64, 65, 1514] {
        send(&mut *queue, &frame(1, 2, len, 0)).unwrap();
    }
    drop(queue);
    let records = tape.records();
    let lens: Vec<_> = records.iter().map(|(_, len, kept)| (*len, kept.len())).collect();
    assert_eq!(lens, [(63, 63), (64, 64), (65, 64), (1514, 64)]);
    assert_eq!(records[3].2, frame(1, 2, 1514, 0)[..64]);
}

#[test]
fn a_full_disk_ends_the_record_and_not_the_traffic() {
    // Room for the header and for two frames and a half.
    let tape = Tape::new(24 + 2 * (16 + 60) + 40);
    let network = Pcap::to(Loopback::new(), tape.clone(), Pcap::<Loopback>::WHOLE).unwrap();
    let mut queue = network.open_queue(0).unwrap();
    for number in 0..2 {
        send(&mut *queue, &frame(1, 2, 60, number)).unwrap();
    }
    queue.flush();
    assert_eq!(tape.records().len(), 2);
    for number in 2..10 {
        send(&mut *queue, &frame(1, 2, 60, number)).unwrap();
        queue.flush();
    }
    for number in 0..10 {
        assert_eq!(receive(&mut *queue), Some(frame(1, 2, 60, number)));
    }
    assert_eq!(receive(&mut *queue), None);
    drop(queue);
    assert_eq!(tape.0.lock().unwrap().len(), 24 + 2 * (16 + 60) + 40, "behind half a frame nothing can be found");
    assert_eq!((network.recorded(), network.missing()), (3, 7 + 10));
    assert!(Pcap::to(NullBackend::new(), Tape::new(23), 64).is_err(), "not even the header");
}

#[test]
fn what_the_network_does_not_take_is_not_recorded() {
    let tape = Tape::new(usize::MAX);
    let network = Pcap::to(Loopback::new(), tape.clone(), 64).unwrap();
    let mut queue = network.open_queue(0).unwrap();
    let taken = (0..1000).take_while(|number| send(&mut *queue, &frame(1, 2, 60, *number)).is_ok()).count();
    assert!(matches!(send(&mut *queue, &frame(1, 2, 60, 0)), Err(SendError::Full)));
    for len in [0, 13, 65558] {
        assert!(matches!(send(&mut *queue, &vec![0; len]), Err(SendError::Failed(_))));
    }
    queue.flush();
    assert_eq!((taken, tape.records().len(), network.missing()), (256, 256, 0));
    assert_eq!(receive_event(&*queue).take(), 1, "the event of the network itself");
}

/// A network that needs room, and says how much it used.
struct Filling(usize);

impl NetBackend for Filling {
    fn capabilities(&self) -> crate::Capabilities {
        crate::Capabilities { mtu: Some(1400), receive: Offloads::CSUM, ..Default::default() }
    }

    fn open_queue(&self, _pair: u16) -> io::Result<Box<dyn NetQueue>> {
        Ok(Box::new(Filling(self.0)))
    }

    fn counts(&self) -> NetworkCounts {
        NetworkCounts { overflows: 12, disconnects: 3, unrecorded: 1, ..NetworkCounts::default() }
    }
}

impl NetQueue for Filling {
    fn send(&mut self, _packet: &mut Packet<'_>) -> Result<(), SendError> {
        Err(SendError::Full)
    }

    fn receive<'a>(&'a mut self, room: &mut Room<'_>) -> io::Result<Received<'a>> {
        let len: usize = room.io_slices(&mut []).iter().map(|slice| slice.len).sum();
        assert_eq!(len, 65557, "room for any frame");
        let header = NetHeader { hdr_len: 7, ..NetHeader::default() };
        Ok(Received::Filled { header, len: self.0 })
    }

    fn sources(&self, _interest: Interest, _sources: &mut Sources) {}

    fn sources_version(&self) -> u64 {
        5
    }

    fn is_connected(&self) -> bool {
        false
    }
}

#[test]
fn a_network_that_needs_room_has_it() {
    let tape = Tape::new(usize::MAX);
    let network = Pcap::to(Arc::new(Filling(60)), tape.clone(), 64).unwrap();
    assert_eq!((network.capabilities(), network.counts()), (Filling(60).capabilities(), Filling(60).counts()));
    let mut queue = network.open_queue(0).unwrap();
    assert_eq!((queue.sources_version(), queue.is_connected()), (5, false));
    let header = NetHeader { hdr_len: 7, ..NetHeader::default() };
    assert_eq!(receive_with(&mut *queue).unwrap(), Some((header, vec![0; 60])));
    drop(queue);
    assert_eq!(frames(tape.records()), [vec![0; 60]]);
    // A network that errs about it does not have memory shown that is not there.
    let mut queue = Pcap::to(Filling(65558), tape, 64).unwrap().open_queue(0).unwrap();
    assert_eq!(receive_with(&mut *queue).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn what_networks_count_is_seen_through_a_device() {
    // Room for the file's header, and for nothing more.
    let network = Arc::new(Pcap::to(Filling(60), Tape::new(24), 64).unwrap());
    let handle = crate::Net::builder(Arc::clone(&network)).build().unwrap().handle();
    let mut queue = network.open_queue(0).unwrap();
    for _ in 0..4 {
        receive(&mut *queue).unwrap();
    }
    drop(queue);
    receive(&mut *network.open_queue(0).unwrap()).unwrap();
    let counts = handle.network_counts();
    assert!(network.missing() > 0);
    assert_eq!(counts, NetworkCounts { unrecorded: 1 + network.missing(), ..Filling(60).counts() });
    let shown: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(shown, [("overflows", 12), ("disconnects", 3), ("unrecorded", counts.unrecorded)]);
}

/// Where tcpdump is installed, it reads the file, too.
#[test]
fn tcpdump_reads_it() {
    let directory = std::env::temp_dir().join(format!("virtio-net-tcpdump-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("frames.pcap");
    let network = Pcap::create(Generator::new().limit(3), &path).unwrap();
    let mut queue = network.open_queue(0).unwrap();
    assert_eq!((0..9).map_while(|_| receive(&mut *queue)).count(), 3);
    assert_eq!(parse(&std::fs::read(&path).unwrap()).2.len(), 3);
    let output = std::process::Command::new("tcpdump").args(["-nn", "-v", "-r"]).arg(&path).output();
    std::fs::remove_dir_all(&directory).unwrap();
    match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => eprintln!("tcpdump is not installed"),
        output => {
            let output = output.unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(text.matches("10.0.0.1.9 > 255.255.255.255.9: UDP, length 22").count(), 3, "{text}");
            assert!(!text.contains("bad cksum"), "{text}");
        }
    }
}
