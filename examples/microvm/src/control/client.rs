//! `microvm ctl`: sends one request, prints the answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Request;
use crate::error::Error;

/// Sends `request` to the machine at `socket`. Returns what to print: the answer, or `ok` where there is nothing to say.
pub(crate) fn send(socket: &Path, request: &Request) -> Result<String, Error> {
    let failed = |source| Error::Control { path: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let answer = answer.trim_end();
    match answer.strip_prefix("ok") {
        Some("") => Ok(answer.to_owned()),
        Some(said) if said.starts_with(' ') => Ok(said.trim_start().to_owned()),
        _ if answer.is_empty() => Err(Error::Refused("the machine gave no answer".to_owned())),
        _ => Err(Error::Refused(answer.trim_start_matches("error: ").to_owned())),
    }
}

/// The same, printed.
pub(crate) fn run(socket: &Path, request: &Request) -> Result<(), Error> {
    let answer = send(socket, request)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(Error::Output)
}
