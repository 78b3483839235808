#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::settings::Steering;

#[test]
fn net_mq_01_one_pair_is_in_use_at_first() {
    let settings = Rig::new(all()).settings;
    assert_eq!((settings.pairs, settings.steering), (1, Steering::Automatic));
}

#[test]
fn net_mq_05_pairs_are_set_with_automatic_steering() {
    let mut rig = Rig::new(all());
    for pairs in [4, 1, 3, 3, 2] {
        assert_eq!(rig.send(4, 0, &[&le16(pairs)]), Ok(Effect::Steering));
        assert_eq!((rig.settings.pairs, &rig.settings.steering), (pairs, &Steering::Automatic));
    }
}

#[test]
fn drv_net_ctrl_05_pairs_that_there_are_not_are_refused() {
    let mut rig = Rig::new(all());
    rig.enabled.extend(0..100);
    assert_eq!(rig.send(4, 0, &[&le16(2)]), Ok(Effect::Steering));
    for pairs in [0, 5, 6, 0x7fff, 0x8000, u16::MAX] {
        assert_eq!(rig.send(4, 0, &[&le16(pairs)]), refused("the number of pairs", pairs.into()));
        assert_eq!(rig.settings.pairs, 2);
    }
}

#[test]
fn drv_net_ctrl_06_pairs_whose_queues_are_not_enabled_are_refused() {
    for missing in 0..8 {
        let mut rig = Rig::new(all());
        rig.enabled.remove(&missing);
        for pairs in 1..=4 {
            let expected = match missing < 2 * pairs {
                true => Err(Refusal::Disabled { queue: missing.into() }),
                false => Ok(Effect::Steering),
            };
            assert_eq!(rig.send(4, 0, &[&le16(pairs)]), expected);
        }
    }
}
