//! The servers beside the virtual machines.
//!
//! | request | answer |
//! |---|---|
//! | `frames INTERFACE FILE LEN` | how many frames of that length were sent |
//! | `send ADDRESS RUN COUNT LEN AT-ONCE` | `sent`, once these datagrams are |
//! | `collect RUN COUNT LEN AT-ONCE` | nothing; these datagrams are expected |
//! | `collected` | `all`, once all of them have come, or what is wrong |
//! | `fetch PORT` | the digest of what is given there to one who sends a line |
//! | others | what the script prints that is given them |

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;
use std::{fs, thread};

use crate::datagrams::{Collector, PATIENCE, Run};
use crate::{ASK, DATAGRAMS, GIVE, SINK, SOURCE, TAKE, datagrams, frames, streams};

/// The run that is expected, and when something of it came.
type Expected = Option<(Collector, Instant)>;

/// Datagrams that come in.
#[derive(Default)]
struct Inbox {
    expected: Mutex<Expected>,
    came: Condvar,
}

impl Inbox {
    fn set(&self, run: Run) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = Some((Collector::new(run), Instant::now()));
    }

    fn take_all(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut room = Vec::new();
        loop {
            let bytes = datagrams::receive(socket, &mut room)?;
            let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((collector, when)) = expected.as_mut() {
                collector.take(bytes);
                *when = Instant::now();
            }
            self.came.notify_all();
        }
    }

    /// What is said of a run once all of it is there, or nothing has come for long.
    fn verdict(&self) -> String {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some((collector, when)) = expected.as_ref() else { return "nothing is expected".into() };
            let waited = when.elapsed();
            if collector.is_complete() || waited >= PATIENCE {
                return collector.verdict();
            }
            let waiting = self.came.wait_timeout(expected, PATIENCE - waited);
            expected = waiting.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Serves until it is ended.
pub(crate) fn serve(data: &Path, script: &Path) -> io::Result<()> {
    let data: Arc<[u8]> = fs::read(data)?.into();
    let (inbox, script) = (Arc::new(Inbox::default()), script.to_owned());
    let socket = datagrams::bound((Ipv4Addr::UNSPECIFIED, DATAGRAMS).into())?;
    let expected = Arc::clone(&inbox);
    thread::spawn(move || tell("datagrams", expected.take_all(&socket)));

    let given = Arc::clone(&data);
    listen(GIVE, move |mut stream| stream.write_all(&given))?;
    listen(TAKE, move |mut stream| {
        let digest = streams::copy(&mut stream, &mut io::sink(), data.len() as u64)?;
        stream.write_all(digest.as_bytes())
    })?;
    listen(SINK, |mut stream| io::copy(&mut stream, &mut io::sink()).map(drop))?;
    listen(SOURCE, |mut stream| io::copy(&mut io::repeat(0), &mut stream).map(drop))?;
    let asked = listen(ASK, move |mut stream| {
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let answer = answer(&line, &inbox, &script).unwrap_or_else(|error| error.to_string());
        stream.write_all(answer.as_bytes())
    })?;
    asked.join().map_err(|_| io::Error::other("the server has ended"))
}

/// Serves each connection to a port in a thread of its own.
fn listen(
    port: u16,
    serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let serve = Arc::new(serve);
    Ok(thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            // Connections of a guest that goes away under load end with an error.
            thread::spawn(move || {
                tell(port, stream.and_then(|stream| streams::limit(&stream).and_then(|()| serve(stream))))
            });
        }
    }))
}

fn tell(what: impl std::fmt::Display, result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("probe: {what}: {error}");
    }
}

/// Does what a request asks for.
fn answer(line: &str, inbox: &Inbox, script: &Path) -> io::Result<String> {
    let mut words = line.split_whitespace();
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("a request that makes no sense: {line}"));
    match words.next().ok_or_else(bad)? {
        "frames" => {
            let (interface, file) = (words.next().ok_or_else(bad)?, words.next().ok_or_else(bad)?);
            let len = words.next().and_then(|word| word.parse().ok()).filter(|len| *len > 0).ok_or_else(bad)?;
            Ok(frames::send_all(interface, &fs::read(file)?, len)?.to_string())
        }
        "send" => {
            let to: SocketAddr = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
            datagrams::send(to, &Run::parse(words).ok_or_else(bad)?)?;
            Ok("sent".into())
        }
        "collect" => {
            inbox.set(Run::parse(words).ok_or_else(bad)?);
            Ok(String::new())
        }
        "collected" => Ok(inbox.verdict()),
        "fetch" => streams::fetch(words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?),
        _ => {
            let output = Command::new("sh").arg(script).args(line.split_whitespace()).stdin(Stdio::null()).output()?;
            Ok([output.stdout, output.stderr].iter().map(|text| String::from_utf8_lossy(text)).collect())
        }
    }
}
