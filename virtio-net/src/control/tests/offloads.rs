#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::Offloads;

fn set(rig: &mut Rig, bits: &[u32]) -> Result<Effect, Refusal> {
    let set = bits.iter().fold(0u64, |set, bit| set | 1 << bit);
    rig.send(5, 0, &[&set.to_le_bytes()])
}

#[test]
fn net_ctrl_offl_01_offloads_start_as_negotiated_and_are_set_exactly() {
    let mut rig = Rig::new(all());
    assert_eq!(rig.settings.offloads, Offloads::ALL);
    let bits = [
        (1, Offloads::CSUM),
        (7, Offloads::TSO4),
        (8, Offloads::TSO6),
        (9, Offloads::ECN),
        (10, Offloads::UFO),
        (46, Offloads::UDP_TUNNEL_GSO),
        (47, Offloads::UDP_TUNNEL_GSO_CSUM),
        (54, Offloads::USO4),
        (55, Offloads::USO6),
    ];
    for (bit, offload) in bits {
        assert_eq!(set(&mut rig, &[bit]), Ok(Effect::Offloads));
        assert_eq!(rig.settings.offloads, offload);
    }
    assert_eq!(set(&mut rig, &bits.map(|(bit, _)| bit)), Ok(Effect::Offloads));
    assert_eq!(rig.settings.offloads, Offloads::ALL);
    assert_eq!(set(&mut rig, &[]), Ok(Effect::Offloads));
    assert_eq!(rig.settings.offloads, Offloads::NONE);

    let some = Rig::new(CTRL_GUEST_OFFLOADS | GUEST_CSUM | GUEST_TSO4);
    assert_eq!(some.settings.offloads, Offloads::CSUM | Offloads::TSO4);
}

#[test]
fn drv_net_ctrl_13_offloads_that_were_not_negotiated_are_refused() {
    let negotiated = CTRL_GUEST_OFFLOADS | GUEST_CSUM | GUEST_TSO4;
    for bit in 0..64 {
        let mut rig = Rig::new(negotiated);
        let expected = if [1, 7].contains(&bit) { Ok(Effect::Offloads) } else { refused("offloads", 1 << bit) };
        assert_eq!(set(&mut rig, &[bit]), expected);
        // Bits that features have, and offloads do not.
        let mut rig = Rig::new(all());
        let known = [1, 7, 8, 9, 10, 46, 47, 54, 55, 59].contains(&bit);
        assert_eq!(set(&mut rig, &[bit]).is_ok(), known);
    }
    // Linux sends the bit of GUEST_HDRLEN with the others.
    let mut rig = Rig::new(negotiated | GUEST_HDRLEN);
    assert_eq!(set(&mut rig, &[1, 59]), Ok(Effect::Offloads));
    assert_eq!(rig.settings.offloads, Offloads::CSUM);
}
