//! A server in this process: it does what a test tells it, and notes what it is asked for.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

pub(super) const FLUSH: u16 = 1 << 2;
pub(super) const FUA: u16 = 1 << 3;
pub(super) const TRIM: u16 = 1 << 5;
pub(super) const ZEROES: u16 = 1 << 6;
pub(super) const MULTI: u16 = 1 << 8;
pub(super) const READ_ONLY: u16 = 1 << 1;
pub(super) const ALL: u16 = 1 | FLUSH | FUA | TRIM | ZEROES;

pub(super) const READ: u16 = 0;
pub(super) const WRITE: u16 = 1;

/// What a server is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) size: usize,
    pub(super) flags: u16,
    pub(super) structured: bool,
    /// Whether it knows the option GO.
    pub(super) go: bool,
    pub(super) blocks: Option<[u32; 3]>,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup { size: 4 << 20, flags: ALL, structured: true, go: true, blocks: None }
    }
}

/// A request that it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Which of its connections it was on.
    pub(super) connection: usize,
    pub(super) flags: u16,
    pub(super) command: u16,
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) len: u32,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// It is done.
    Serve,
    /// It fails.
    Error(u32),
    /// It is done, in a reply with chunks that are not in order.
    Chunks,
    /// Nothing is said to it until somebody [lets go](Server::let_go).
    Hold,
    /// This is said to it.
    Say(Vec<u8>),
    /// This is said, and then the connection ends.
    Last(Vec<u8>),
}

type Behaviour = Box<dyn Fn(&Request, &[Request]) -> Act + Send>;

struct State {
    setup: Mutex<Setup>,
    disk: Mutex<Vec<u8>>,
    /// What is there of it after a [crash](Server::crash).
    stable: Mutex<Vec<u8>>,
    log: Mutex<Vec<Request>>,
    held: Mutex<Vec<(Request, Vec<u8>)>>,
    behaviour: Mutex<Behaviour>,
    streams: Mutex<Vec<TcpStream>>,
    connections: AtomicUsize,
    /// It ends connections at once.
    away: AtomicBool,
    end: AtomicBool,
    /// It reads no data of writes.
    deaf: AtomicBool,
}

pub(super) struct Server {
    state: Arc<State>,
    address: std::net::SocketAddr,
    thread: Option<JoinHandle<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Server {
    pub(super) fn new(setup: Setup) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let disk = super::pattern(setup.size, 1);
        let state = Arc::new(State {
            setup: Mutex::new(setup),
            stable: Mutex::new(disk.clone()),
            disk: Mutex::new(disk),
            log: Mutex::default(),
            held: Mutex::default(),
            behaviour: Mutex::new(Box::new(|_, _| Act::Serve)),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            end: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let mut threads = Vec::new();
            while let Ok((stream, _)) = listener.accept() {
                if shared.end.load(SeqCst) {
                    break;
                }
                lock(&shared.streams).push(stream.try_clone().expect("a socket"));
                if shared.away.load(SeqCst) {
                    let _ = stream.shutdown(Shutdown::Both);
                    continue;
                }
                let shared = Arc::clone(&shared);
                threads.push(std::thread::spawn(move || {
                    let _ = serve(&shared, &stream);
                    let _ = stream.shutdown(Shutdown::Both);
                }));
            }
            threads.into_iter().for_each(|thread| thread.join().expect("a server"));
        });
        Server { state, address, thread: Some(thread) }
    }

    /// One that does with requests what `behaviour` says; it is told of those before, too.
    pub(super) fn behaving(setup: Setup, behaviour: impl Fn(&Request, &[Request]) -> Act + Send + 'static) -> Server {
        let server = Server::new(setup);
        server.behave(behaviour);
        server
    }

    pub(super) fn behave(&self, behaviour: impl Fn(&Request, &[Request]) -> Act + Send + 'static) {
        *lock(&self.state.behaviour) = Box::new(behaviour);
    }

    pub(super) fn uri(&self) -> String {
        format!("nbd://{}/name", self.address)
    }

    pub(super) fn disk(&self) -> Vec<u8> {
        lock(&self.state.disk).clone()
    }

    pub(super) fn log(&self) -> Vec<Request> {
        lock(&self.state.log).clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    pub(super) fn held(&self) -> usize {
        lock(&self.state.held).len()
    }

    pub(super) fn change(&self, setup: Setup) {
        *lock(&self.state.setup) = setup;
    }

    pub(super) fn be_deaf(&self, deaf: bool) {
        self.state.deaf.store(deaf, SeqCst);
    }

    /// Serves what it holds. Answers on connections that have ended are lost.
    pub(super) fn let_go(&self) {
        for (request, data) in std::mem::take(&mut *lock(&self.state.held)) {
            let answer = perform(&self.state, &request, &data);
            let streams = lock(&self.state.streams);
            let _ = streams.get(request.connection).expect("a connection").write_all(&answer);
        }
    }

    /// Says something on a connection, whatever was asked.
    pub(super) fn say(&self, connection: usize, words: &[u8]) {
        lock(&self.state.streams)[connection].write_all(words).expect("a connection");
    }

    /// Ends all connections, and forgets what was not flushed. It answers again at once.
    pub(super) fn crash(&self) {
        let mut disk = lock(&self.state.disk);
        self.go_away(false);
        disk.clone_from(&lock(&self.state.stable));
    }

    /// Ends all connections, and those that are made until it is not away any more.
    pub(super) fn go_away(&self, away: bool) {
        self.state.away.store(away, SeqCst);
        for stream in lock(&self.state.streams).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.end.store(true, SeqCst);
        self.be_deaf(false);
        self.go_away(true);
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

fn number<const N: usize>(mut stream: &TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn bytes(mut stream: &TcpStream, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn option_reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut reply = 0x0003_e889_0455_65a9u64.to_be_bytes().to_vec();
    reply.extend(option.to_be_bytes());
    reply.extend(kind.to_be_bytes());
    reply.extend((data.len() as u32).to_be_bytes());
    reply.extend(data);
    reply
}

pub(super) fn greeting() -> Vec<u8> {
    b"NBDMAGICIHAVEOPT\0\x03".to_vec()
}

pub(super) fn chunk(last: bool, kind: u16, cookie: u64, data: &[u8]) -> Vec<u8> {
    let mut chunk = 0x668e_33efu32.to_be_bytes().to_vec();
    chunk.extend(u16::from(last).to_be_bytes());
    chunk.extend(kind.to_be_bytes());
    chunk.extend(cookie.to_be_bytes());
    chunk.extend((data.len() as u32).to_be_bytes());
    chunk.extend(data);
    chunk
}

pub(super) fn data_chunk(last: bool, cookie: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    chunk(last, 1, cookie, &[&offset.to_be_bytes(), data].concat())
}

pub(super) fn hole_chunk(last: bool, cookie: u64, offset: u64, len: u32) -> Vec<u8> {
    chunk(last, 2, cookie, &[&offset.to_be_bytes()[..], &len.to_be_bytes()].concat())
}

pub(super) fn simple(error: u32, cookie: u64) -> Vec<u8> {
    [&0x6744_6698u32.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes()].concat()
}

fn serve(state: &State, stream: &TcpStream) -> io::Result<()> {
    let mut out = stream;
    let setup = *lock(&state.setup);
    out.write_all(&greeting())?;
    let _flags = number::<4>(stream)?;
    let description = [&(setup.size as u64).to_be_bytes()[..], &setup.flags.to_be_bytes()].concat();
    loop {
        assert_eq!(&number::<8>(stream)?, b"IHAVEOPT");
        let option = u32::from_be_bytes(number(stream)?);
        let len = u32::from_be_bytes(number(stream)?);
        let data = bytes(stream, len)?;
        let unknown = option_reply(option, 0x8000_0001, b"not known");
        match option {
            1 => {
                assert_eq!(data, b"name");
                out.write_all(&description)?;
                break;
            }
            7 if setup.go => {
                assert_eq!(data[4..8], *b"name");
                out.write_all(&option_reply(7, 3, &[&0u16.to_be_bytes(), &description[..]].concat()))?;
                if let Some(blocks) = setup.blocks {
                    let sizes = blocks.map(u32::to_be_bytes).concat();
                    out.write_all(&option_reply(7, 3, &[&3u16.to_be_bytes(), &sizes[..]].concat()))?;
                }
                out.write_all(&option_reply(7, 1, &[]))?;
                break;
            }
            8 if setup.structured => out.write_all(&option_reply(8, 1, &[]))?,
            _ => out.write_all(&unknown)?,
        }
    }
    // The order of the streams is that of the connections; those that came while the server was away have none.
    let peer = stream.peer_addr()?;
    let same = |other: &TcpStream| other.peer_addr().is_ok_and(|address| address == peer);
    let connection = lock(&state.streams).iter().rposition(same).ok_or(io::ErrorKind::NotConnected)?;
    state.connections.fetch_add(1, SeqCst);
    transmit(state, stream, connection)
}

fn transmit(state: &State, stream: &TcpStream, connection: usize) -> io::Result<()> {
    let mut out = stream;
    loop {
        assert_eq!(number::<4>(stream)?, 0x2560_9513u32.to_be_bytes());
        let request = Request {
            connection,
            flags: u16::from_be_bytes(number(stream)?),
            command: u16::from_be_bytes(number(stream)?),
            cookie: u64::from_be_bytes(number(stream)?),
            offset: u64::from_be_bytes(number(stream)?),
            len: u32::from_be_bytes(number(stream)?),
        };
        if request.command == 2 {
            return Ok(());
        }
        let before = {
            let mut log = lock(&state.log);
            log.push(request.clone());
            log.clone()
        };
        while request.command == WRITE && state.deaf.load(SeqCst) {
            std::thread::yield_now();
        }
        let data = bytes(stream, if request.command == WRITE { request.len } else { 0 })?;
        let act = (lock(&state.behaviour))(&request, &before[..before.len() - 1]);
        match act {
            Act::Serve => out.write_all(&perform(state, &request, &data))?,
            Act::Error(error) => out.write_all(&failure(state, &request, error))?,
            Act::Chunks => out.write_all(&in_chunks(state, &request))?,
            Act::Hold => lock(&state.held).push((request, data)),
            Act::Say(words) => out.write_all(&words)?,
            Act::Last(words) => {
                out.write_all(&words)?;
                return Ok(());
            }
        }
    }
}

fn failure(state: &State, request: &Request, error: u32) -> Vec<u8> {
    if request.command == READ && lock(&state.setup).structured {
        let text = [&error.to_be_bytes()[..], &5u16.to_be_bytes(), b"sorry"].concat();
        return chunk(true, 0x8001, request.cookie, &text);
    }
    simple(error, request.cookie)
}

/// Does a request; returns what is to be said to it.
fn perform(state: &State, request: &Request, data: &[u8]) -> Vec<u8> {
    let mut disk = lock(&state.disk);
    let start = request.offset as usize;
    let Some(place) = disk.get_mut(start..start + request.len as usize) else {
        return failure(state, request, 22);
    };
    match request.command {
        READ if lock(&state.setup).structured => return data_chunk(true, request.cookie, request.offset, place),
        READ => return [&simple(0, request.cookie), &*place].concat(),
        WRITE => place.copy_from_slice(data),
        4 | 6 => place.fill(0),
        3 => lock(&state.stable).clone_from(&disk),
        _ => {}
    }
    if request.flags & 1 != 0 {
        let end = start + request.len as usize;
        lock(&state.stable)[start..end].copy_from_slice(&disk[start..end]);
    }
    simple(0, request.cookie)
}

/// The reply to a read from its end to its start, with a hole where a sector is zero, and an end of its own.
fn in_chunks(state: &State, request: &Request) -> Vec<u8> {
    let disk = lock(&state.disk);
    let (cookie, start) = (request.cookie, request.offset as usize);
    let data = &disk[start..start + request.len as usize];
    let mut reply = Vec::new();
    for (index, sector) in data.chunks(512).enumerate().rev() {
        let offset = request.offset + index as u64 * 512;
        match sector.iter().all(|byte| *byte == 0) {
            true => reply.extend(hole_chunk(false, cookie, offset, sector.len() as u32)),
            false => reply.extend(data_chunk(false, cookie, offset, sector)),
        }
    }
    reply.extend(chunk(true, 0, cookie, &[]));
    reply
}
