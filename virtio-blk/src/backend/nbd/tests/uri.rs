use std::path::PathBuf;

use super::super::error::UriError;
use super::super::uri::{Place, Uri};

fn tcp(host: &str, port: u16, export: &str) -> Result<Uri, UriError> {
    Ok(Uri { place: Place::Tcp { host: host.to_owned(), port }, export: export.as_bytes().to_vec() })
}

fn unix(path: &str, export: &str) -> Result<Uri, UriError> {
    Ok(Uri { place: Place::Unix(PathBuf::from(path)), export: export.as_bytes().to_vec() })
}

#[test]
fn uris_of_tcp() {
    assert_eq!(Uri::parse("nbd://host"), tcp("host", 10809, ""));
    assert_eq!(Uri::parse("NBD://host/"), tcp("host", 10809, ""));
    assert_eq!(Uri::parse("nbd://host:1/a%20b/c"), tcp("host", 1, "a b/c"));
    assert_eq!(Uri::parse("nbd://host:/e"), tcp("host", 10809, "e"));
    assert_eq!(Uri::parse("nbd://[::1]:65535//e"), tcp("::1", 65535, "/e"));
    assert_eq!(Uri::parse("nbd://[::1]"), tcp("::1", 10809, ""));
    assert_eq!(Uri::parse("nbd:///e#part"), tcp("localhost", 10809, "e"));
}

#[test]
fn uris_of_unix_sockets() {
    assert_eq!(Uri::parse("nbd+unix:///e?socket=/tmp/a%3fb"), unix("/tmp/a?b", "e"));
    assert_eq!(Uri::parse("nbd+unix://?socket=relative"), unix("relative", ""));
}

#[test]
fn uris_that_are_wrong_say_why() {
    for (uri, error) in [
        ("", UriError::Form),
        ("disk.img", UriError::Form),
        ("http://host", UriError::Form),
        ("nbd://[::1", UriError::Form),
        ("nbd://[::1]x", UriError::Form),
        ("nbd+unix://host/e?socket=/s", UriError::Form),
        ("nbds://host", UriError::Tls),
        ("nbds+unix:///?socket=/s", UriError::Tls),
        ("nbd://me@host", UriError::User),
        ("nbd://host:65536", UriError::Port { port: "65536".to_owned() }),
        ("nbd://host:x", UriError::Port { port: "x".to_owned() }),
        ("nbd+unix:///e", UriError::Socket),
        ("nbd+unix:///e?socket=", UriError::Parameter { parameter: "socket=".to_owned() }),
        ("nbd+unix:///e?socket=/s&tls=1", UriError::Parameter { parameter: "tls=1".to_owned() }),
        ("nbd://host?a", UriError::Parameter { parameter: "a".to_owned() }),
        ("nbd://host/%", UriError::Percent),
        ("nbd://host/%1", UriError::Percent),
        ("nbd://host/%zz", UriError::Percent),
        ("nbd://host/%00", UriError::Percent),
    ] {
        assert_eq!(Uri::parse(uri), Err(error), "{uri}");
    }
    let long = format!("nbd://host/{}", "n".repeat(4097));
    assert_eq!(Uri::parse(&long), Err(UriError::Name { len: 4097 }));
}
