//! Where a server is, and what it is asked for.

use std::fmt;
use std::path::PathBuf;

use super::error::UriError;

/// The port of servers that have no other.
const PORT: u16 = 10809;
/// The longest name of an export.
const MOST_NAME: usize = 4096;

/// An export of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) place: Place,
    /// The export's name; servers have one without.
    pub(super) export: Vec<u8>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Uri {
    /// `nbd://HOST[:PORT][/EXPORT]` or `nbd+unix:///[EXPORT]?socket=PATH`.
    pub(super) fn parse(uri: &str) -> Result<Uri, UriError> {
        let Some((scheme, rest)) = uri.split_once("://") else {
            return Err(UriError::Form);
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, export) = rest.split_once('/').unwrap_or((rest, ""));
        let export = decode(export)?;
        if export.len() > MOST_NAME {
            return Err(UriError::Name { len: export.len() });
        }
        let place = match scheme.to_ascii_lowercase().as_str() {
            "nbd" => tcp(authority, query)?,
            "nbd+unix" => unix(authority, query)?,
            "nbds" | "nbds+unix" => return Err(UriError::Tls),
            _ => return Err(UriError::Form),
        };
        Ok(Uri { place, export })
    }
}

fn tcp(authority: &str, query: &str) -> Result<Place, UriError> {
    if let Some(parameter) = query.split('&').find(|parameter| !parameter.is_empty()) {
        return Err(UriError::Parameter { parameter: parameter.to_owned() });
    }
    if authority.contains('@') {
        return Err(UriError::User);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or(UriError::Form)?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => PORT,
        Some("") => PORT,
        Some(port) => port.parse().map_err(|_| UriError::Port { port: port.to_owned() })?,
        None => return Err(UriError::Form),
    };
    let host = String::from_utf8(decode(host)?).map_err(|_| UriError::Form)?;
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok(Place::Tcp { host, port })
}

fn unix(authority: &str, query: &str) -> Result<Place, UriError> {
    use std::os::unix::ffi::OsStringExt;

    if !authority.is_empty() {
        return Err(UriError::Form);
    }
    let mut socket = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("socket", path)) if !path.is_empty() => socket = Some(decode(path)?),
            _ => return Err(UriError::Parameter { parameter: parameter.to_owned() }),
        }
    }
    let path = socket.ok_or(UriError::Socket)?;
    Ok(Place::Unix(PathBuf::from(std::ffi::OsString::from_vec(path))))
}

/// Replaces `%` and two hexadecimal digits by the byte that they stand for.
fn decode(text: &str) -> Result<Vec<u8>, UriError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(UriError::Percent);
        };
        bytes.push((high * 16 + low) as u8); // two digits
    }
    match bytes.contains(&0) {
        true => Err(UriError::Percent),
        false => Ok(bytes),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp { host, port } => write!(f, "{host}:{port}"),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}
