//! Registers, accessed in any width and at any place.

use std::mem::forget;
use std::sync::Arc;

use proptest::prelude::*;
use virtio_core::testing::TestMemory;
use virtio_core::{DeviceHost, HostBuilder, InlineRuntime};
use virtio_mmio::MmioTransport;
use virtio_net::{Loopback, Net};
use virtio_pci::VirtioPci;

fn device(memory: &TestMemory, runtime: &InlineRuntime) -> HostBuilder {
    let net = Net::builder(Loopback::new()).pairs(2).rss(true).hash_report(true).build().unwrap();
    DeviceHost::builder(net, memory.ram().clone(), Arc::new(runtime.clone()))
}

/// A place, an offset and what to write there; at every third place it is only read.
fn accesses() -> impl Strategy<Value = Vec<(u8, u64, Vec<u8>)>> {
    let offset = prop_oneof![0u64..0x300, 0u64..0x8000, (u64::MAX - 16)..=u64::MAX];
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::collection::vec(0u8..16, 4..=4),
        Just(vec![0xff; 4096])
    ];
    prop::collection::vec((any::<u8>(), offset, data), 1..60)
}

proptest! {
    #[test]
    fn any_access_to_mmio(accesses in accesses(), lose in any::<bool>()) {
        let (memory, runtime) = (TestMemory::new(1 << 16), InlineRuntime::new());
        let transport = MmioTransport::new(device(&memory, &runtime), |_: bool| {}).unwrap();
        for (place, offset, mut data) in accesses {
            match place % 3 {
                0 => transport.read(offset, &mut data),
                _ => transport.write(offset, &data),
            }
            runtime.poll();
        }
        if lose {
            forget(transport);
        }
    }

    #[test]
    fn any_access_to_pci(accesses in accesses(), lose in any::<bool>()) {
        let (memory, runtime) = (TestMemory::new(1 << 16), InlineRuntime::new());
        let function = VirtioPci::builder(device(&memory, &runtime)).intx(|_: bool| {}).build().unwrap();
        for (place, offset, mut data) in accesses {
            match place % 6 {
                0 => function.read_config(offset as u16, &mut data),
                1 => drop(function.write_config(offset as u16, &data)),
                2 => function.read_bar(place % 8, offset, &mut data),
                3 => drop((function.bars(), function.doorbells(), function.doorbell_addresses())),
                _ => function.write_bar(VirtioPci::DOORBELL_BAR, offset, &data),
            }
            runtime.poll();
        }
        if lose {
            forget(function);
        }
    }
}
