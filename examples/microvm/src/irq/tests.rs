//! Tests of the routing table.

use std::collections::BTreeMap;

use kvm_bindings::{KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI};

use super::routes::{Message, entries};
use crate::layout::IO_APIC_PINS;

#[test]
fn pins_stay_routed_beside_messages() {
    let message = Message { address: 0x1_fee0_1000, data: 0x4021 };
    let entries = entries(&BTreeMap::from([(IO_APIC_PINS + 3, message)]));
    let pins: Vec<_> =
        entries.iter().filter(|entry| entry.type_ == KVM_IRQ_ROUTING_IRQCHIP).map(|entry| entry.gsi).collect();
    for gsi in 0..IO_APIC_PINS {
        let controllers = pins.iter().filter(|pin| **pin == gsi).count();
        assert_eq!(controllers, if gsi < 16 { 2 } else { 1 });
    }
    let messages: Vec<_> = entries.iter().filter(|entry| entry.type_ == KVM_IRQ_ROUTING_MSI).collect();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].gsi, IO_APIC_PINS + 3);
}

/// What KVM makes of the interrupts, seen in the registers of a local APIC. Needs a usable `/dev/kvm`, no guest runs.
mod on_kvm {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use kvm_ioctls::{Kvm, VcpuFd, VmFd};

    use virtio_pci::MessageVector;

    use super::super::msi::MsiVector;
    use super::super::routes::Routes;

    const APIC_SPURIOUS: usize = 0xf0;
    const APIC_REQUESTS: usize = 0x200;
    const VECTOR: u32 = 0x51;
    const MESSAGE: u64 = 0xfee0_0000;

    fn machine() -> (Arc<VmFd>, VcpuFd) {
        let vm = Kvm::new().unwrap().create_vm().unwrap();
        vm.create_irq_chip().unwrap();
        let cpu = vm.create_vcpu(0).unwrap();
        let mut apic = cpu.get_lapic().unwrap();
        apic.regs[APIC_SPURIOUS] = -1;
        apic.regs[APIC_SPURIOUS + 1] = 1;
        cpu.set_lapic(&apic).unwrap();
        (Arc::new(vm), cpu)
    }

    /// Whether `vector` is requested. KVM delivers an eventfd's count from a worker, so this looks for a while.
    fn arrives(cpu: &VcpuFd, vector: u32) -> bool {
        let byte = APIC_REQUESTS + (vector as usize / 32) * 0x10 + (vector as usize % 32) / 8;
        let end = Instant::now() + Duration::from_millis(200);
        while Instant::now() < end {
            if cpu.get_lapic().unwrap().regs[byte] as u8 & (1 << (vector % 8)) != 0 {
                return true;
            }
            std::thread::yield_now();
        }
        false
    }

    #[test]
    #[ignore = "needs /dev/kvm"]
    fn a_message_arrives_only_while_unmasked() {
        let (vm, cpu) = machine();
        let vector = MsiVector::new(Routes::new(vm)).unwrap();
        vector.route(MESSAGE, VECTOR).unwrap();
        vector.signal();
        assert!(vector.is_pending() && vector.is_pending());
        assert!(!arrives(&cpu, VECTOR));
        vector.unmask();
        assert!(arrives(&cpu, VECTOR));
        assert!(!vector.is_pending());

        vector.mask();
        assert!(!vector.is_pending());
        vector.route(MESSAGE, VECTOR + 1).unwrap();
        vector.signal();
        vector.clear();
        vector.unmask();
        assert!(!arrives(&cpu, VECTOR + 1));
        vector.route(MESSAGE, VECTOR + 2).unwrap();
        vector.signal();
        assert!(arrives(&cpu, VECTOR + 2));
    }

    #[test]
    #[ignore = "needs /dev/kvm"]
    fn vectors_do_not_disturb_each_other() {
        let (vm, cpu) = machine();
        let routes = Routes::new(vm);
        let vectors: Vec<_> = (0..4).map(|_| MsiVector::new(routes.clone()).unwrap()).collect();
        for (vector, number) in vectors.iter().zip(VECTOR..) {
            vector.route(MESSAGE, number).unwrap();
            vector.unmask();
        }
        vectors[2].signal();
        assert!(arrives(&cpu, VECTOR + 2));
        assert!(!arrives(&cpu, VECTOR + 1));
    }
}
