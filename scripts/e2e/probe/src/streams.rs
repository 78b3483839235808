//! What goes by TCP.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::{ASK, SINK, SOURCE, TAKE};

/// How long the other side may say nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of one call.
const PIECE: usize = 64 << 10;

/// Connects, with limits on how long anything may take.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    limit(&stream)?;
    Ok(stream)
}

/// Sets how long a call may take.
pub(crate) fn limit(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))
}

/// Copies what comes until its end, or until there are `most` bytes; the digest of it.
pub(crate) fn copy(from: &mut impl Read, to: &mut impl Write, most: u64) -> io::Result<String> {
    let (mut from, mut piece, mut digest) = (from.take(most), vec![0; PIECE], Sha256::new());
    loop {
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(len) => {
                digest.update(&piece[..len]);
                to.write_all(&piece[..len])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Has `host` do something; its answer.
///
/// Neither here nor elsewhere is a connection closed in one direction only: passt is not to be trusted with that.
pub(crate) fn ask(host: IpAddr, line: &str) -> io::Result<String> {
    let mut stream = connect((host, ASK).into())?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    answer(&mut stream)
}

/// What the other side says, up to its end.
fn answer(stream: &mut TcpStream) -> io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}

/// Takes what is given there, into a file if there is one; the digest.
pub(crate) fn get(from: SocketAddr, to: Option<&Path>) -> io::Result<String> {
    let mut stream = connect(from)?;
    match to {
        Some(path) => copy(&mut stream, &mut File::create(path)?, u64::MAX),
        None => copy(&mut stream, &mut io::sink(), u64::MAX),
    }
}

/// Takes what is given at a port of this machine to one who sends a line; the digest.
pub(crate) fn fetch(port: u16) -> io::Result<String> {
    let mut stream = connect((Ipv4Addr::LOCALHOST, port).into())?;
    stream.write_all(b"\n")?;
    copy(&mut stream, &mut io::sink(), u64::MAX)
}

/// Gives `host` the file; the digest of what it got.
pub(crate) fn put(host: IpAddr, file: &Path) -> io::Result<String> {
    let mut stream = connect((host, TAKE).into())?;
    stream.write_all(&fs::read(file)?)?;
    answer(&mut stream)
}

/// Gives the file to the first who connects.
pub(crate) fn give_one(port: u16, file: &Path, after_line: bool) -> io::Result<()> {
    let (mut stream, _) = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?.accept()?;
    limit(&stream)?;
    if after_line {
        // More than a line is not sent.
        BufReader::new(&stream).read_line(&mut String::new())?;
    }
    stream.write_all(&fs::read(file)?)
}

/// Sends and receives until something fails.
pub(crate) fn load(host: IpAddr) -> io::Result<()> {
    let (mut up, mut down) = (connect((host, SINK).into())?, connect((host, SOURCE).into())?);
    let sending = thread::spawn(move || io::copy(&mut io::repeat(0), &mut up));
    io::copy(&mut down, &mut io::sink())?;
    sending.join().map_err(|_| io::Error::other("the thread that sends has ended"))?.map(drop)
}
