use proptest::prelude::*;

use super::*;

/// Puts fragments together: what was cut, their number, and how many bytes each had.
fn join(pieces: &[Vec<u8>]) -> (Vec<u8>, u32, Vec<usize>) {
    let (mut together, mut numbers, mut lens) = (Vec::new(), Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        let packet = Layers::parse(piece).unwrap().network.unwrap();
        check_network(piece, &packet);
        assert!(packet.fragment && packet.transport.is_none());
        let word = |at: usize| u16::from_be_bytes([piece[at], piece[at + 1]]);
        let (offset, more, number) = if packet.is_v4() {
            let field = word(packet.at + 6);
            assert_eq!(field & 0xc000, 0);
            (usize::from(field & 0x1fff) * 8, field & 0x2000 != 0, u32::from(word(packet.at + 4)))
        } else {
            let header = packet.payload_at - 8;
            assert_eq!(piece[header + 1], 0);
            let field = word(header + 2);
            let number = u32::from_be_bytes(*piece[header + 4..].first_chunk().unwrap());
            (usize::from(field & 0xfff8), field & 1 != 0, number)
        };
        assert_eq!(offset, together.len());
        assert_eq!(more, index + 1 != pieces.len());
        let content = &piece[packet.payload_at..];
        assert!(!more || content.len() % 8 == 0);
        together.extend_from_slice(content);
        lens.push(content.len());
        numbers.push(number);
    }
    numbers.dedup();
    let [number] = numbers.as_slice() else { panic!("{numbers:?}") };
    (together, *number, lens)
}

fn datagram(payload: &[u8]) -> Vec<u8> {
    udp((1000, 53), payload)
}

#[test]
fn datagrams_are_cut_into_fragments_of_ipv4() {
    let payload: Vec<u8> = (0..=255).cycle().take(4000).collect();
    let frame = ethernet(&[(0x8100, 1)], ETHER_IPV4, &ipv4_between(A4, B4, &[1; 8], UDP, &datagram(&payload)));
    let pieces = cut(&frame, &header(&frame, 3, 1479)).unwrap();
    let (together, number, lens) = join(&pieces);
    assert_eq!((number, lens.as_slice()), (0x1234, [1472, 1472, 1064].as_slice()));
    let whole = super::frame(&ipv4(UDP, &together));
    check_transport(&whole, &payload);
    assert_eq!(
        pieces[1][..26],
        frame[..26].iter().copied().enumerate().map(fragment_fields(&pieces[1])).collect::<Vec<_>>()
    );
}

/// What fragments have of their own: the packet's length and what says which part it is.
fn fragment_fields(piece: &[u8]) -> impl Fn((usize, u8)) -> u8 {
    move |(at, byte)| if matches!(at, 20 | 21 | 24 | 25) { piece[at] } else { byte }
}

/// A packet that is all of its frame carries a datagram with `payload`, and a good checksum.
fn check_transport(frame: &[u8], payload: &[u8]) {
    let packet = Layers::parse(frame).unwrap().network.unwrap();
    let transport = packet.transport.unwrap();
    let segment = &frame[transport.at..];
    assert_eq!(naive(&[&naive_pseudo_header(&packet, segment.len()), segment]), 0xffff);
    assert_eq!(usize::from(u16::from_be_bytes([segment[4], segment[5]])), segment.len());
    assert_eq!(segment[8..], *payload);
}

#[test]
fn datagrams_are_cut_into_fragments_of_ipv6() {
    let payload: Vec<u8> = (0..=255).cycle().take(4000).collect();
    // Each fragment has the options for all routers; those for the destination are cut with the rest.
    let inner = extension(UDP, &[1, 4, 9, 9, 9, 9], &datagram(&payload));
    let frame = frame(&ipv6(0, &extension(60, &[1, 4, 8, 8, 8, 8], &inner)));
    let pieces = cut(&frame, &header(&frame, 3, 1448)).unwrap();
    let (together, number, lens) = join(&pieces);
    assert_eq!(lens, [1448, 1448, 1120]);
    assert_eq!(together[..8], [UDP, 0, 1, 4, 9, 9, 9, 9]);
    check_transport(&super::frame(&ipv6(60, &together)), &payload);
    for piece in &pieces {
        assert_eq!((piece[20], &piece[54..62], piece[62]), (0, [44, 0, 1, 4, 8, 8, 8, 8].as_slice(), 60));
    }
    let again = join(&cut(&frame, &header(&frame, 3, 1448)).unwrap()).1;
    assert_ne!(number, again, "datagrams are told apart");
}

#[test]
fn packets_without_a_number_get_one() {
    let mut frame = frame(&ipv4(UDP, &datagram(&[1; 3000])));
    frame[18..20].copy_from_slice(&[0, 0]);
    let numbers: std::collections::HashSet<_> =
        (0..32).map(|_| join(&cut(&frame, &header(&frame, 3, 1000)).unwrap()).1).collect();
    assert!(numbers.len() > 1);
}

#[test]
fn a_datagram_that_is_short_enough_stays_one() {
    for packet in [ipv4(UDP, &datagram(&[1; 992])), ipv6(UDP, &datagram(&[1; 992]))] {
        let frame = frame(&packet);
        let partial = naive(&[&naive_pseudo_header(&Layers::parse(&frame).unwrap().network.unwrap(), 1000)]);
        let header = header(&frame, 3, 1000);
        let mut frame = frame;
        let at = usize::from(header.csum_start + header.csum_offset);
        frame[at..at + 2].copy_from_slice(&partial.to_be_bytes());
        let pieces = cut(&frame, &header).unwrap();
        assert_eq!(pieces.len(), 1);
        check_transport(&pieces[0], &[1; 992]);
        assert_eq!(pieces[0].len(), frame.len());
    }
}

#[test]
fn datagrams_that_cannot_be_fragments_are_refused() {
    let good = frame(&ipv4(UDP, &datagram(&[1; 3000])));
    assert_eq!(cut(&good, &header(&good, 3, 7)), Err(Malformed::GsoSize { size: 7 }));
    assert_eq!(cut(&good, &header(&good, 3, 8)).unwrap().len(), 376);
    let segment = frame(&ipv4(TCP, &tcp((1, 2), 0, &[], &[1; 3000])));
    assert!(matches!(cut(&segment, &header(&segment, 3, 1000)), Err(Malformed::Headers { .. })));
    // There is a header for fragments already.
    let atomic = [[UDP, 0, 0, 0, 1, 2, 3, 4].as_slice(), &datagram(&[1; 3000])].concat();
    let atomic = frame(&ipv6(44, &atomic));
    assert!(matches!(cut(&atomic, &header(&atomic, 3, 1000)), Err(Malformed::Headers { .. })));
    // The datagram's header would not be in the first one.
    let behind = frame(&ipv6(60, &extension(UDP, &[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &datagram(&[1; 3000]))));
    assert_eq!(cut(&behind, &header(&behind, 3, 16)), Err(Malformed::GsoSize { size: 16 }));
    assert!(cut(&behind, &header(&behind, 3, 24)).is_ok());
    let mut long = frame(&ipv4(UDP, &datagram(&[1; 70000])));
    long[16..18].copy_from_slice(&[0, 0]);
    assert_eq!(cut(&long, &header(&long, 3, 1000)), Err(Malformed::Length { len: 70028 }));
}

proptest! {
    #[test]
    fn fragments_are_together_what_was_cut(
        v4 in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 0..4000), size in 8..2000_u16,
    ) {
        let datagram = datagram(&payload);
        let frame = frame(&if v4 { ipv4(UDP, &datagram) } else { ipv6(UDP, &datagram) });
        let pieces = cut(&frame, &header(&frame, 3, size)).unwrap();
        let most = usize::from(size & !7);
        prop_assert_eq!(pieces.len(), datagram.len().div_ceil(most));
        if pieces.len() > 1 {
            let (together, _, lens) = join(&pieces);
            prop_assert!(lens.iter().all(|len| *len <= most));
            check_transport(&super::frame(&if v4 { ipv4(UDP, &together) } else { ipv6(UDP, &together) }), &payload);
        }
    }
}
