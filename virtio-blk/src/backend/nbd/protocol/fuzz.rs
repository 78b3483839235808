//! What a fuzzer runs.

use super::{Command, Event, Handshake, Replies, Requests};

/// Plays a hostile server to a client: `data` says what the client asks for, where its input is cut, and what the server
/// sends. For fuzz targets and property tests.
///
/// # Panics
/// If something happens that no server may bring about: data outside of a request or twice, two ends of one request, or
/// more memory than was asked for.
pub fn fuzz(data: &[u8]) {
    let Some((setup, data)) = data.split_first_chunk::<4>() else {
        return;
    };
    let [how, cut, count, seed] = *setup;
    let cut = usize::from(cut) + 1;
    match how & 1 {
        0 => handshake(data, cut),
        _ => replies(data, cut, how & 2 != 0, u16::from(count % 8) + 1, seed),
    }
}

fn handshake(data: &[u8], cut: usize) {
    let mut handshake = Handshake::new(b"name");
    let mut sent = 0;
    for piece in data.chunks(cut) {
        let end = handshake.input(piece);
        sent += handshake.take_output().len();
        assert!(sent <= 1024, "{sent} bytes were sent in a handshake");
        match end {
            Ok(None) => {}
            Ok(Some(export)) => {
                let blocks = export.blocks;
                assert!(blocks.min.is_power_of_two() && blocks.max >= blocks.min);
                assert!(blocks.max.is_multiple_of(blocks.min));
                return;
            }
            Err(_) => return,
        }
    }
}

/// What is known of a request that the server answers.
struct Asked {
    index: usize,
    seen: Vec<bool>,
}

fn replies(data: &[u8], cut: usize, structured: bool, count: u16, seed: u8) {
    let mut requests = Requests::new(count);
    let mut done = vec![false; usize::from(count)];
    for index in 0..usize::from(count) {
        let (offset, len) = (u64::from(seed) * 512 + index as u64 * 64, 64);
        let command = match (usize::from(seed) + index) % 4 {
            0 => Command::Write { fua: false },
            1 => Command::Flush,
            _ => Command::Read,
        };
        let len = if command == Command::Flush { 0 } else { len };
        let _ = requests.open(command, offset, len, Asked { index, seen: vec![false; len as usize] });
    }
    let mut replies = Replies::new(structured);
    for mut piece in data.chunks(cut) {
        loop {
            match replies.next(&mut piece, &mut requests) {
                Ok(None) => break,
                Ok(Some(Event::Data { request, at, bytes })) => see(&mut request.user, at, bytes.len()),
                Ok(Some(Event::Zeroes { request, at, len })) => see(&mut request.user, at, len as usize),
                Ok(Some(Event::Done { request, error })) => {
                    let whole = request.command != Command::Read || request.user.seen.iter().all(|seen| *seen);
                    assert!(whole || error.is_some(), "a read was done without all of its data");
                    let first = done.get_mut(request.user.index).map(|done| std::mem::replace(done, true));
                    assert_eq!(first, Some(false), "a request was done twice");
                }
                Err(_) => return,
            }
        }
        assert!(piece.is_empty(), "input was left over");
    }
}

fn see(asked: &mut Asked, at: u32, len: usize) {
    let range = at as usize..at as usize + len;
    assert!(len > 0, "no data");
    let seen = asked.seen.get_mut(range);
    assert!(seen.as_ref().is_some_and(|seen| seen.iter().all(|seen| !seen)), "data outside of a request, or twice");
    seen.into_iter().for_each(|seen| seen.fill(true));
}
