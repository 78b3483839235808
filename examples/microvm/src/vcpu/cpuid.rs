//! What a CPU says about itself: the host's features, an identity and a topology of its own.
//!
//! The topology is one package with one core per CPU and no hyper-threads.

use kvm_bindings::{CpuId, KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2};

use crate::error::Error;

/// ECX of leaf 1.
const DEADLINE_TIMER: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// EDX of leaf 1: leaf 1 counts the CPUs of a package.
const MULTI_THREADING: u32 = 1 << 28;
/// Topology leaves, of Intel and (since Zen) of AMD.
const TOPOLOGY: [u32; 2] = [0xb, 0x1f];
/// Level types of a topology leaf.
const LEVEL_THREAD: u32 = 1;
const LEVEL_CORE: u32 = 2;
/// AMD's newest topology leaf. Without it Linux uses leaf 0xb.
const TOPOLOGY_AMD: u32 = 0x8000_0026;

/// The leaves of CPU `id` of `count`.
pub(super) fn for_cpu(host: &CpuId, id: u8, count: u8, deadline_timer: bool) -> Result<CpuId, Error> {
    let mut leaves: Vec<_> = host
        .as_slice()
        .iter()
        .filter(|leaf| !TOPOLOGY.contains(&leaf.function) && leaf.function != TOPOLOGY_AMD)
        .copied()
        .collect();
    for leaf in &mut leaves {
        adapt(leaf, id, count, deadline_timer);
    }
    if host.as_slice().iter().any(|leaf| leaf.function == 0xb) {
        leaves.extend(topology(id, count));
    }
    CpuId::from_entries(&leaves).map_err(|_| Error::MissingCapability("room for the CPU features"))
}

fn adapt(leaf: &mut kvm_cpuid_entry2, id: u8, count: u8, deadline_timer: bool) {
    let id = u32::from(id);
    let count = u32::from(count);
    match leaf.function {
        1 => {
            leaf.ebx = (leaf.ebx & 0xffff) | (count << 16) | (id << 24);
            leaf.ecx |= HYPERVISOR;
            if deadline_timer {
                leaf.ecx |= DEADLINE_TIMER;
            }
            if count > 1 {
                leaf.edx |= MULTI_THREADING;
            }
        }
        // Caches: each core has its own up to level 2, the last level is everybody's.
        4 | 0x8000_001d if leaf.eax & 0x1f != 0 => {
            let level = (leaf.eax >> 5) & 7;
            let sharing = if level >= 3 { count - 1 } else { 0 };
            leaf.eax = (leaf.eax & 0x3fff) | (sharing << 14);
            if leaf.function == 4 {
                leaf.eax |= (count - 1) << 26;
            }
        }
        // AMD: cores of the package, and how many bits of the APIC id number them.
        0x8000_0008 => {
            leaf.ecx = (leaf.ecx & !0xf0ff) | (count - 1) | (id_bits(count) << 12);
        }
        // AMD: APIC id, core, node.
        0x8000_001e => {
            leaf.eax = id;
            leaf.ebx = id & 0xff;
            leaf.ecx = 0;
        }
        _ => {}
    }
}

/// Bits of an APIC id that tell `count` CPUs apart.
fn id_bits(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

fn topology(id: u8, count: u8) -> impl Iterator<Item = kvm_cpuid_entry2> {
    let level = move |index, shift, cpus, kind| kvm_cpuid_entry2 {
        function: 0xb,
        index,
        flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
        eax: shift,
        ebx: cpus,
        ecx: index | (kind << 8),
        edx: id.into(),
        ..Default::default()
    };
    [level(0, 0, 1, LEVEL_THREAD), level(1, id_bits(count.into()), count.into(), LEVEL_CORE), level(2, 0, 0, 0)]
        .into_iter()
}
