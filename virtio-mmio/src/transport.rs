//! The register window.

use std::fmt;
use std::sync::Arc;

use virtio_core::host::{HostError, QueueConfig, QueueRegisters, set_high, set_low};
use virtio_core::{DeviceHost, DoorbellSite, Features, HostBuilder, InterruptLine};

use crate::line::{Hooks, Line};
use crate::registers::*;
use crate::selectors::{Selector, Selectors};

/// Bytes of the register window that every device has; its configuration space begins in it at 0x100 and may need
/// more.
pub const WINDOW: u64 = 0x200;

/// A range of guest-visible addresses that a device shares with its driver, behind the SHM registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedMemory {
    /// The region's id, unique in its device.
    pub id: u8,
    /// Its first address.
    pub base: u64,
    /// Its length in bytes.
    pub len: u64,
}

/// A device behind the MMIO register interface, version 2.
///
/// Send and Sync; every call takes `&self`. A doorbell and an interrupt acknowledge take no lock. A write to the status
/// or to a queue's registers may wait for a reset that goes on (see
/// [`HostBuilder::reset_wait`]).
pub struct MmioTransport {
    host: DeviceHost,
    line: Arc<Line>,
    shared_memory: Vec<SharedMemory>,
    pub(crate) selectors: Arc<Selectors>,
}

impl MmioTransport {
    /// The transport for a device, and the line that interrupts its driver.
    ///
    /// # Errors
    /// [`HostError`] where the device cannot be hosted as it was put together.
    pub fn new(host: HostBuilder, line: impl InterruptLine + 'static) -> Result<MmioTransport, HostError> {
        let (line, selectors) = (Arc::new(Line::new(line)), Arc::<Selectors>::default());
        // MMIO-REG-22 FEAT-RSVD-10: not NOTIF_CONFIG_DATA, ADMIN_VQ or SR_IOV.
        let can = Features::RING_RESET | Features::NOTIFICATION_DATA;
        let hooks = Hooks { line: line.clone(), selectors: selectors.clone() };
        Ok(MmioTransport { host: host.build(can, Arc::new(hooks))?, line, shared_memory: Vec::new(), selectors })
    }

    /// With shared memory regions, which the embedder has mapped.
    #[must_use]
    pub fn with_shared_memory(mut self, regions: Vec<SharedMemory>) -> MmioTransport {
        self.shared_memory = regions;
        self
    }

    /// The device's host: for pausing, saving and counting.
    pub fn host(&self) -> &DeviceHost {
        &self.host
    }

    /// Where the driver's doorbells arrive: all at one register, told apart by the value written. None where
    /// NOTIFICATION_DATA is offered, for then no value can be matched: doorbells come as plain writes.
    pub fn doorbells(&self) -> Vec<DoorbellSite> {
        if self.offers_notification_data() {
            return Vec::new();
        }
        (0..self.host.queue_count())
            .filter_map(|queue| {
                let event = self.host.doorbell(queue)?.clone();
                Some(DoorbellSite {
                    queue,
                    offset: QUEUE_NOTIFY,
                    width: Some(4),
                    datamatch: Some(u32::from(queue)),
                    event,
                })
            })
            .collect()
    }

    /// The driver reads at `offset` from the window's start.
    ///
    /// Control registers are read as aligned 32-bit words; any other access to them reads zero (DRV-MMIO-01). The
    /// configuration space is read at any offset and width (MMIO-REG-20).
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        match offset.checked_sub(CONFIG) {
            Some(offset) => self.host.read_config(offset, data),
            None => match <&mut [u8; 4]>::try_from(&mut *data) {
                Ok(word) => *word = self.read_register(offset).to_le_bytes(),
                Err(_) => data.fill(0),
            },
        }
    }

    /// The driver writes at `offset` from the window's start: as for reads, what is not aligned or not 32 bits wide is
    /// ignored.
    pub fn write(&self, offset: u64, data: &[u8]) {
        match offset.checked_sub(CONFIG) {
            Some(offset) => self.host.write_config(offset, data),
            None => {
                if let Ok(word) = data.try_into() {
                    self.write_register(offset, u32::from_le_bytes(word));
                }
            }
        }
    }

    pub(crate) fn interrupt_status(&self) -> u32 {
        self.line.status()
    }

    /// As if these events had happened now. There are no others than those two.
    pub(crate) fn raise(&self, events: u32) {
        let events = events & (USED_BUFFER | CONFIG_CHANGE);
        if events != 0 {
            self.line.raise(events);
        }
    }

    fn read_register(&self, offset: u64) -> u32 {
        match offset {
            // MMIO-REG-01
            MAGIC => MAGIC_VALUE,
            // MMIO-REG-02
            VERSION => VERSION_VALUE,
            DEVICE_ID => self.host.device_type().0,
            VENDOR_ID => NO_VENDOR,
            // MMIO-REG-15, DRV-MMIO-08
            DEVICE_FEATURES => self.host.offered().word(self.selectors.device_features.get()),
            // MMIO-REG-16, DRV-MMIO-05
            QUEUE_SIZE_MAX => self.selected().map_or(0, |queue| u32::from(self.host.queue_max_size(queue))),
            // MMIO-REG-17
            QUEUE_READY => self.queue().is_some_and(|queue| queue.is_enabled()).into(),
            // MMIO-REG-12: never without RING_RESET
            QUEUE_RESET => self.queue().is_some_and(|queue| queue.is_resetting()).into(),
            INTERRUPT_STATUS => self.line.status(),
            STATUS => self.host.status().into(),
            SHM_LEN_LOW => self.shared_memory().1 as u32,
            SHM_LEN_HIGH => (self.shared_memory().1 >> 32) as u32,
            SHM_BASE_LOW => self.shared_memory().0 as u32,
            SHM_BASE_HIGH => (self.shared_memory().0 >> 32) as u32,
            // MMIO-REG-07
            CONFIG_GENERATION => self.host.config_generation(),
            // Registers that are only written (DRV-MMIO-02), and offsets where there are none.
            _ => 0,
        }
    }

    fn write_register(&self, offset: u64, value: u32) {
        match offset {
            DEVICE_FEATURES_SEL => self.select(&self.selectors.device_features, value),
            DRIVER_FEATURES => self.host.write_features(self.selectors.driver_features.get(), value),
            DRIVER_FEATURES_SEL => self.select(&self.selectors.driver_features, value),
            QUEUE_SEL => self.select(&self.selectors.queue, value),
            // DRV-MMIO-03: a size that cannot be is kept as 0, which no queue is enabled with.
            QUEUE_SIZE => self.configure(|queue| queue.size = u16::try_from(value).unwrap_or(0)),
            QUEUE_READY => self.write_ready(value),
            QUEUE_NOTIFY => self.notify(value),
            INTERRUPT_ACK => self.line.acknowledge(value),
            // MMIO-REG-18. The field has 8 bits; a driver that writes others does not mean this device.
            STATUS => self.host.write_status(value as u8),
            QUEUE_DESC_LOW => self.configure(|queue| set_low(&mut queue.descriptor_area, value)),
            QUEUE_DESC_HIGH => self.configure(|queue| set_high(&mut queue.descriptor_area, value)),
            QUEUE_DRIVER_LOW => self.configure(|queue| set_low(&mut queue.driver_area, value)),
            QUEUE_DRIVER_HIGH => self.configure(|queue| set_high(&mut queue.driver_area, value)),
            QUEUE_DEVICE_LOW => self.configure(|queue| set_low(&mut queue.device_area, value)),
            QUEUE_DEVICE_HIGH => self.configure(|queue| set_high(&mut queue.device_area, value)),
            QUEUE_RESET => self.write_reset(value),
            SHM_SEL => self.select(&self.selectors.shared_memory, value),
            // DRV-MMIO-02: read-only, or absent.
            _ => {}
        }
    }

    /// Nothing is selected that the end of a reset would take back.
    fn select(&self, selector: &Selector, value: u32) {
        if self.host.settle() {
            selector.set(value);
        }
    }

    /// The selected queue, if it exists.
    fn selected(&self) -> Option<u16> {
        let queue = u16::try_from(self.selectors.queue.get()).ok()?;
        (queue < self.host.queue_count()).then_some(queue)
    }

    fn queue(&self) -> Option<QueueRegisters> {
        self.host.queue(self.selected()?)
    }

    fn configure(&self, change: impl FnOnce(&mut QueueConfig)) {
        if let Some(queue) = self.selected() {
            self.host.configure_queue(queue, change);
        }
    }

    fn write_ready(&self, value: u32) {
        match (self.selected(), value) {
            (Some(queue), 0) => self.host.disable_queue(queue),
            (Some(queue), 1) => self.host.enable_queue(queue),
            _ => {}
        }
    }

    /// MMIO-REG-11: only 1 means something.
    fn write_reset(&self, value: u32) {
        if let (Some(queue), 1) = (self.selected(), value) {
            self.host.reset_queue(queue);
        }
    }

    /// BASIC-NOTF-02, DRV-PACKED-04: with NOTIFICATION_DATA the queue is in the low half. What is in the other, how much
    /// there is to take, is a hint that nobody needs.
    #[inline]
    fn notify(&self, value: u32) {
        // A driver that was offered it and has not negotiated it leaves the other half zero.
        let queue = if self.offers_notification_data() { Ok(value as u16) } else { u16::try_from(value) };
        if let Ok(queue) = queue {
            self.host.notify(queue);
        }
    }

    fn offers_notification_data(&self) -> bool {
        self.host.offered().contains(Features::NOTIFICATION_DATA)
    }

    /// Base and length of the selected region; all ones where there is none (MMIO-REG-19, DRV-MMIO-11).
    fn shared_memory(&self) -> (u64, u64) {
        let id = self.selectors.shared_memory.get();
        let region = self.shared_memory.iter().find(|region| u32::from(region.id) == id);
        region.map_or((u64::MAX, u64::MAX), |region| (region.base, region.len))
    }
}

impl fmt::Debug for MmioTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmioTransport")
            .field("host", &self.host)
            .field("interrupt_status", &self.line.status())
            .finish_non_exhaustive()
    }
}
