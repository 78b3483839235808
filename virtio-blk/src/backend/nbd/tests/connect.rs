//! The first connection, and what a server can say to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::server::{ALL, greeting, option_reply};
use super::{LONG, NbdBackend};
use crate::backend::nbd::{NbdError, ProtocolError};

/// A server that says these words to whoever comes, and nothing more, until it is left. Ends after one connection.
fn says(words: &[u8]) -> Result<NbdBackend, NbdError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("nbd://{}/e", listener.local_addr().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(words).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        NbdBackend::builder(&uri).connect_timeout(LONG).connect()
    })
}

fn protocol(words: &[u8]) -> ProtocolError {
    match says(words) {
        Err(NbdError::Protocol { source, .. }) => source,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_server_that_does_not_want_says_why() {
    let go = |kind, text: &[u8]| [greeting(), option_reply(8, 1, &[]), option_reply(7, kind, text)].concat();
    assert_eq!(protocol(&go(0x8000_0005, b"")), ProtocolError::Tls);
    let message = "no e".to_owned();
    assert_eq!(protocol(&go(0x8000_0006, b"no e")), ProtocolError::UnknownExport { message });
    let (option, code, message) = (7, 0x8000_0002, "not you\u{7}".to_owned());
    let refused = ProtocolError::Refused { option, code, message };
    assert_eq!(protocol(&go(code, b"not you\x07")), refused);
    // What a server says goes to a terminal.
    assert!(!refused.to_string().contains('\u{7}'));
    let old = b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53\0\0";
    assert_eq!(protocol(old), ProtocolError::OldStyle);
}

#[test]
fn a_server_that_breaks_the_rules_is_told_apart() {
    let begin = [greeting(), option_reply(8, 1, &[])].concat();
    let after = |words: &[&[u8]]| [&begin, &words.concat()[..]].concat();
    let export = [&[0, 0][..], &(1u64 << 20).to_be_bytes(), &ALL.to_be_bytes()].concat();
    let sizes = |min: u32, preferred: u32, max: u32| {
        [&[0, 3][..], &min.to_be_bytes(), &preferred.to_be_bytes(), &max.to_be_bytes()].concat()
    };
    assert!(matches!(protocol(&[b'S'; 64]), ProtocolError::Magic { .. }));
    assert!(matches!(protocol(b"NBDMAGICxxxxxxxxyy"), ProtocolError::Magic { .. }));
    assert!(matches!(protocol(&after(&[&[1; 20]])), ProtocolError::Magic { .. }));
    assert_eq!(protocol(&after(&[&option_reply(7, 1, &[])])), ProtocolError::NoExport);
    let reply = |option, kind, len| ProtocolError::OptionReply { option, kind, len };
    assert_eq!(protocol(&after(&[&option_reply(6, 1, &[])])), reply(6, 1, 0));
    assert_eq!(protocol(&after(&[&option_reply(7, 1, &[1])])), reply(7, 1, 1));
    assert_eq!(protocol(&after(&[&option_reply(7, 9, &[])])), reply(7, 9, 0));
    assert_eq!(protocol(&after(&[&option_reply(7, 3, &[0])])), reply(7, 3, 1));
    assert_eq!(protocol(&after(&[&option_reply(7, 3, &[0, 0, 1])])), reply(7, 3, 3));
    assert_eq!(protocol(&after(&[&option_reply(7, 3, &vec![1; 5000])])), reply(7, 3, 5000));
    assert_eq!(protocol(&[greeting(), option_reply(8, 3, &[0, 0])].concat()), reply(8, 3, 2));
    // More information than there is, without an end.
    let many = option_reply(7, 3, &[0, 1]).repeat(65);
    assert_eq!(protocol(&after(&[&many])), reply(7, 3, 2));
    for (min, preferred, max) in [(0, 512, 1024), (3, 512, 1024), (512, 256, 1024), (1, 3, 1024), (1024, 1024, 512)] {
        let words = after(&[&option_reply(7, 3, &sizes(min, preferred, max))]);
        assert_eq!(protocol(&words), ProtocolError::BlockSizes { min, preferred, max });
    }
    let early = after(&[&option_reply(7, 3, &export), &option_reply(7, 1, &[]), b"more"]);
    assert!(matches!(protocol(&early), ProtocolError::Unasked { bytes: 4 }));
}

#[test]
fn a_silent_server_costs_no_more_than_the_time_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("nbd://{}", listener.local_addr().unwrap());
    let begin = Instant::now();
    let limit = Duration::from_millis(100);
    let error = NbdBackend::builder(&uri).connect_timeout(limit).connect().unwrap_err();
    assert!(matches!(error, NbdError::Handshake { .. }), "{error}");
    assert!(begin.elapsed() >= limit);
    assert!(matches!(
        NbdBackend::builder(&uri).connect_timeout(Duration::ZERO).connect(),
        Err(NbdError::Connect { .. })
    ));
}

#[test]
fn a_place_without_a_server_is_an_error_that_names_it() {
    // A port that was free a moment ago, and that a connection of ours keeps from others.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let _connection = TcpStream::connect(address).unwrap();
    drop(listener);
    let error = NbdBackend::connect(&format!("nbd://{address}")).unwrap_err();
    assert!(matches!(error, NbdError::Connect { .. }) && error.to_string().contains(&address.to_string()), "{error}");
    let error = NbdBackend::connect("nbd+unix:///?socket=/nowhere/socket").unwrap_err();
    assert!(matches!(error, NbdError::Connect { .. }) && error.to_string().contains("/nowhere/socket"), "{error}");
    let error = NbdBackend::connect("nbd://host.invalid").unwrap_err();
    assert!(matches!(error, NbdError::Host { .. }) && error.to_string().contains("host.invalid"), "{error}");
    let error = NbdBackend::connect("nbds://host").unwrap_err();
    assert!(matches!(error, NbdError::Uri { .. }) && error.to_string().contains("proxy"), "{error}");
    let path = "/".repeat(200);
    assert!(NbdBackend::connect(&format!("nbd+unix:///?socket={path}")).is_err());
}

#[test]
fn a_server_that_ends_in_the_handshake_is_an_error() {
    let path = std::env::temp_dir().join(format!("virtio-blk-nbd-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept()));
        NbdBackend::builder(&format!("nbd+unix:///?socket={}", path.display())).connect_timeout(LONG).connect()
    });
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(error, Err(NbdError::Handshake { .. })), "{error:?}");
}
