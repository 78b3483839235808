//! Tests of the routing table.

use std::collections::BTreeMap;

use kvm_bindings::{KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI};

use super::routes::{Message, entries};
use crate::layout::IO_APIC_PINS;

#[test]
fn pins_stay_routed_beside_messages() {
    let message = Message {
        address: 0x1_fee0_1000,
        data: 0x4021,
    };
    let entries = entries(&BTreeMap::from([(IO_APIC_PINS + 3, message)]));
    let pins: Vec<_> = entries
        .iter()
        .filter(|entry| entry.type_ == KVM_IRQ_ROUTING_IRQCHIP)
        .map(|entry| entry.gsi)
        .collect();
    for gsi in 0..IO_APIC_PINS {
        let controllers = pins.iter().filter(|pin| **pin == gsi).count();
        assert_eq!(controllers, if gsi < 16 { 2 } else { 1 });
    }
    let messages: Vec<_> = entries
        .iter()
        .filter(|entry| entry.type_ == KVM_IRQ_ROUTING_MSI)
        .collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].gsi, IO_APIC_PINS + 3);
}
