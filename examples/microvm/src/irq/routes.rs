//! The one table that says which interrupt number means which pin or message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kvm_bindings::{
    KVM_IRQ_ROUTING_IRQCHIP, KVM_IRQ_ROUTING_MSI, KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE,
    KvmIrqRouting, kvm_irq_routing_entry, kvm_irq_routing_irqchip, kvm_irq_routing_msi,
};
use kvm_ioctls::VmFd;

use crate::error::Error;
use crate::layout::IO_APIC_PINS;

/// Interrupt numbers that KVM can route.
const MAX_ROUTES: u32 = 4096;
/// Pins of one of the two old interrupt controllers.
const PIC_PINS: u32 = 8;

/// An interrupt message: what a device would write, and where to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where to.
    pub(crate) address: u64,
    /// What.
    pub(crate) data: u32,
}

/// The routing table of a machine.
pub(crate) struct Routes {
    vm: Arc<VmFd>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    used: u32,
    messages: BTreeMap<u32, Message>,
}

impl Routes {
    /// The pins of the interrupt controllers, and no messages yet.
    pub(crate) fn new(vm: Arc<VmFd>) -> Arc<Self> {
        Arc::new(Self { vm, table: Mutex::default() })
    }

    /// The machine that the table belongs to.
    pub(super) fn vm(&self) -> &VmFd {
        &self.vm
    }

    /// A number for one more message.
    pub(super) fn allocate(&self) -> Result<u32, Error> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let number = IO_APIC_PINS + table.used;
        if number >= MAX_ROUTES {
            return Err(Error::MissingCapability("interrupt numbers for more devices"));
        }
        table.used += 1;
        Ok(number)
    }

    /// Lets interrupt `number` mean `message`.
    pub(super) fn set(&self, number: u32, message: Message) -> Result<(), Error> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.messages.insert(number, message) == Some(message) {
            return Ok(());
        }
        let entries = entries(&table.messages);
        let routing = KvmIrqRouting::from_entries(&entries)
            .map_err(|_| Error::MissingCapability("interrupt numbers for more devices"))?;
        // Under the lock: KVM replaces the whole table, an older one must not come last.
        self.vm.set_gsi_routing(&routing).map_err(Error::kvm("route an interrupt"))
    }
}

/// The whole table as KVM wants it.
pub(super) fn entries(messages: &BTreeMap<u32, Message>) -> Vec<kvm_irq_routing_entry> {
    let mut entries = Vec::new();
    for gsi in 0..IO_APIC_PINS {
        if gsi < PIC_PINS {
            entries.push(pin(gsi, KVM_IRQCHIP_PIC_MASTER, gsi));
        } else if gsi < 2 * PIC_PINS {
            entries.push(pin(gsi, KVM_IRQCHIP_PIC_SLAVE, gsi - PIC_PINS));
        }
        entries.push(pin(gsi, KVM_IRQCHIP_IOAPIC, gsi));
    }
    entries.extend(messages.iter().map(|(gsi, to)| message(*gsi, *to)));
    entries
}

fn pin(gsi: u32, irqchip: u32, pin: u32) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_IRQCHIP, ..Default::default() };
    entry.u.irqchip = kvm_irq_routing_irqchip { irqchip, pin };
    entry
}

fn message(gsi: u32, message: Message) -> kvm_irq_routing_entry {
    let mut entry = kvm_irq_routing_entry { gsi, type_: KVM_IRQ_ROUTING_MSI, ..Default::default() };
    entry.u.msi = kvm_irq_routing_msi {
        address_lo: message.address as u32,
        address_hi: (message.address >> 32) as u32,
        data: message.data,
        ..Default::default()
    };
    entry
}
