use std::collections::HashSet;

use proptest::prelude::*;

use super::frames::*;
use crate::packet::Layers;
use crate::packet::flow::flow;

fn of(frame: &[u8]) -> Option<u32> {
    flow(&Layers::parse(frame).unwrap())
}

// spec: NET-MQ-05 NET-MQ-06
#[test]
fn both_directions_are_one_flow() {
    for protocol in [TCP, UDP] {
        let carried = |ports| if protocol == TCP { tcp(ports, 0, &[], b"") } else { udp(ports, b"") };
        let there = frame(&ipv4_between(A4, B4, &[], protocol, &carried((1000, 80))));
        let back = frame(&ipv4_between(B4, A4, &[], protocol, &carried((80, 1000))));
        assert_eq!(of(&there), of(&back));
        let (a, b) = (v6("fd00::1"), v6("fd00::2"));
        let there = frame(&ipv6_between(a, b, protocol, &carried((1000, 80))));
        let back = frame(&ipv6_between(b, a, protocol, &carried((80, 1000))));
        assert_eq!(of(&there), of(&back));
        assert!(of(&there).is_some());
        // The same ports, at the other ends.
        let crossed = frame(&ipv6_between(a, b, protocol, &carried((80, 1000))));
        assert_ne!(of(&there), of(&crossed));
    }
    assert_eq!(of(&ethernet(&[], 0x0806, &[1; 28])), None);
}

#[test]
fn net_mq_05_fragments_of_a_datagram_are_one_flow() {
    let mut first = ipv4(UDP, &udp((1, 2), b"12345678"));
    first[6] = 0x20;
    let mut second = ipv4(UDP, b"something that is no header");
    second[7] = 2;
    assert_eq!(of(&frame(&first)), of(&frame(&second)));
}

#[test]
fn net_mq_05_flows_are_spread() {
    let mut queues = [0; 4];
    let mut all = HashSet::new();
    for port in 0..1024 {
        let flow = of(&frame(&ipv4(TCP, &tcp((32768 + port, 5201), 0, &[], b"")))).unwrap();
        queues[flow as usize % 4] += 1;
        all.insert(flow);
    }
    // Within six deviations of chance.
    assert!(queues.iter().all(|count| (256_i32 - count).abs() < 84), "{queues:?}");
    assert!(all.len() > 1020, "{}", all.len());
}

proptest! {
    #[test]
    fn net_mq_06_flows_have_no_direction(ends in any::<[([u8; 16], u16); 2]>(), short in any::<bool>()) {
        let packet = |from: usize, to: usize| {
            let ([source, destination], ports) = ([ends[from].0, ends[to].0], (ends[from].1, ends[to].1));
            if short {
                let [source, destination] = [source, destination].map(|address| *address.first_chunk().unwrap());
                ipv4_between(source, destination, &[], UDP, &udp(ports, b""))
            } else {
                ipv6_between(source, destination, UDP, &udp(ports, b""))
            }
        };
        prop_assert_eq!(of(&frame(&packet(0, 1))), of(&frame(&packet(1, 0))));
    }
}
