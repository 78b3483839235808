//! `microvm ctl`: sends one request, prints the answer.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Request;
use crate::error::Error;

/// Sends `request` to the machine at `socket`. The answer is printed; only `ok` is a success.
pub(crate) fn send(socket: &Path, request: &Request) -> Result<(), Error> {
    let failed = |source| Error::Control { path: socket.to_owned(), source };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let answer = answer.trim_end();
    match answer {
        "ok" => {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{answer}").and_then(|()| out.flush()).map_err(Error::Output)
        }
        "" => Err(Error::Refused("the machine gave no answer".to_owned())),
        refusal => Err(Error::Refused(refusal.trim_start_matches("error: ").to_owned())),
    }
}
