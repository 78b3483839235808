//! The socket and its thread. One client at a time, one request per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Request;
use crate::devices::control::Controls;
use crate::error::Error;

/// Longest request, and longest time to wait for it.
const MAX_REQUEST: u64 = 4096;
const PATIENCE: Duration = Duration::from_secs(5);

/// The control socket. Dropping it ends the thread and removes the socket.
pub(crate) struct ControlServer {
    path: PathBuf,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ControlServer {
    /// Serves `controls` at `path`.
    pub(crate) fn start(path: &Path, controls: Controls) -> Result<Self, Error> {
        let failed = |source| Error::Control { path: path.to_owned(), source };
        let listener = UnixListener::bind(path)
            .or_else(|error| {
                if error.kind() != std::io::ErrorKind::AddrInUse || UnixStream::connect(path).is_ok() {
                    return Err(error);
                }
                // A socket that nobody listens at was left behind by a machine that was killed.
                std::fs::remove_file(path)?;
                UnixListener::bind(path)
            })
            .map_err(failed)?;
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let thread = std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                for client in listener.incoming() {
                    if ended.load(Ordering::Acquire) {
                        return;
                    }
                    if let Err(error) = client.and_then(|client| serve(client, &controls)) {
                        log::debug!("control socket: {error}");
                    }
                }
            })
            .map_err(failed)?;
        Ok(Self { path: path.to_owned(), end, thread: Some(thread) })
    }
}

fn serve(mut client: UnixStream, controls: &Controls) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&client).take(MAX_REQUEST)).read_line(&mut line)?;
    let answer = match line.parse().and_then(|request| perform(request, controls)) {
        Ok(None) => "ok\n".to_owned(),
        Ok(Some(answer)) => format!("ok {answer}\n"),
        Err(reason) => format!("error: {reason}\n"),
    };
    client.write_all(answer.as_bytes())
}

/// Does it; what there is to say about it is one line.
fn perform(request: Request, controls: &Controls) -> Result<Option<String>, String> {
    match request {
        Request::Resize { serial, bytes } => controls.disk(&serial)?.resize(bytes).map(|()| None),
        Request::Resume { serial } => controls.disk(&serial)?.resume().map(|()| None),
        Request::Stats { device } => controls.stats(&device).map(Some),
        Request::Link { device, up } => controls.net(&device)?.set_link(up).map(|()| None),
        Request::Announce { device } => controls.net(&device)?.announce().map(|()| None),
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        // A connection is what the thread waits for.
        let woken = UnixStream::connect(&self.path).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken)
            && thread.join().is_err()
        {
            log::error!("the control thread panicked");
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            log::debug!("control socket {}: {error}", self.path.display());
        }
    }
}
