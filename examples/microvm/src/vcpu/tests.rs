//! Tests of what the CPUs say about themselves.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use super::cpuid::for_cpu;

fn host() -> CpuId {
    let leaf = |function, index, eax, ebx| kvm_cpuid_entry2 { function, index, eax, ebx, ..Default::default() };
    CpuId::from_entries(&[
        leaf(1, 0, 0xa0f11, 0x0502_0800),
        leaf(4, 0, 0x1c00_4121, 0),
        leaf(4, 1, 0x1c03_c163, 0),
        leaf(0xb, 0, 1, 2),
        leaf(0xb, 1, 7, 99),
        leaf(0x8000_001e, 0, 5, 0x105),
    ])
    .unwrap()
}

fn find(cpuid: &CpuId, function: u32, index: u32) -> kvm_cpuid_entry2 {
    let mut leaves = cpuid.as_slice().iter();
    *leaves.find(|leaf| leaf.function == function && leaf.index == index).unwrap()
}

#[test]
fn each_cpu_has_its_own_number() {
    for id in 0..3 {
        let cpuid = for_cpu(&host(), id, 3, true).unwrap();
        let basic = find(&cpuid, 1, 0);
        assert_eq!(basic.ebx >> 24, u32::from(id));
        assert_eq!((basic.ebx >> 16) & 0xff, 3);
        assert_eq!(basic.ebx & 0xffff, 0x0800);
        assert_ne!(basic.ecx & (1 << 31), 0, "under a hypervisor");
        assert_ne!(basic.ecx & (1 << 24), 0, "deadline timer");
        assert_eq!(find(&cpuid, 0xb, 0).edx, u32::from(id));
        assert_eq!(find(&cpuid, 0x8000_001e, 0).eax, u32::from(id));
    }
    let cpuid = for_cpu(&host(), 0, 1, false).unwrap();
    assert_eq!(find(&cpuid, 1, 0).ecx & (1 << 24), 0);
}

#[test]
fn the_topology_is_one_package_of_single_threaded_cores() {
    let cpuid = for_cpu(&host(), 2, 3, true).unwrap();
    let levels: Vec<_> =
        (0..3).map(|index| find(&cpuid, 0xb, index)).map(|leaf| (leaf.eax, leaf.ebx, leaf.ecx)).collect();
    assert_eq!(levels, [(0, 1, 0x100), (2, 3, 0x201), (0, 0, 2)]);
    // The first cache is the core's own, the last one everybody's.
    assert_eq!((find(&cpuid, 4, 0).eax >> 14) & 0xfff, 0);
    assert_eq!((find(&cpuid, 4, 1).eax >> 14) & 0xfff, 2);
    assert_eq!(find(&cpuid, 4, 1).eax >> 26, 2);
}
