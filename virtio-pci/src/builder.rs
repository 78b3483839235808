//! Making a function.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use virtio_core::host::HostError;
use virtio_core::{DeviceType, Features, HostBuilder, InterruptLine};

use crate::bars::Bar;
use crate::capabilities;
use crate::common::Selectors;
use crate::function::VirtioPci;
use crate::header::{Identity, Image};
use crate::ids;
use crate::interrupts::{Hooks, Routing};
use crate::intx::Intx;
use crate::layout::{MSIX_BAR, STRUCTURES_BAR, Structures};
use crate::msix::Msix;
use crate::vector::MessageVectors;

/// How wide the addresses are that the function's BARs can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BarWidth {
    /// The function lies below 4 GiB. Its BARs are 0 and 2.
    Bits32,
    /// The function can lie anywhere. Its BARs are 0 and 2, each with the register after it.
    #[default]
    Bits64,
}

/// Vectors at most: what the message control register can tell.
const MOST_VECTORS: u16 = 2048;
/// PCI-MSIX-01: at least one for the queues and one for the configuration.
const LEAST_VECTORS: u16 = 2;
/// Bytes of configuration at most: more than any device has, and the BAR stays small.
const MOST_CONFIG: usize = 64 << 10;

/// A function on its way.
///
/// Neither Send nor Sync, as the vectors' factory need not be: the function is built where it is put together. No call blocks,
/// if the factory does not.
#[must_use]
pub struct Builder {
    host: HostBuilder,
    vectors: Option<u16>,
    msix: Option<Box<dyn MessageVectors>>,
    line: Option<Box<dyn InterruptLine>>,
    subsystem: (u16, u16),
    class: Option<u32>,
    width: BarWidth,
    notify_config_data: fn(u16) -> u16,
}

impl Builder {
    pub(crate) fn new(host: HostBuilder) -> Builder {
        Builder {
            host,
            vectors: None,
            msix: None,
            line: None,
            subsystem: ids::SUBSYSTEM,
            class: None,
            width: BarWidth::default(),
            notify_config_data: |queue| queue,
        }
    }

    /// Message-signalled interrupts, by vectors that the factory makes. Without, the function has no MSI-X.
    pub fn msix(mut self, vectors: impl MessageVectors + 'static) -> Builder {
        self.msix = Some(Box::new(vectors));
        self
    }

    /// How many vectors: from 2 to 2048. Unless said otherwise one for each queue and one for the configuration, more
    /// than which no driver can make use of (PCI-MSIX-03).
    pub fn vectors(mut self, count: u16) -> Builder {
        self.vectors = Some(count);
        self
    }

    /// A level-triggered interrupt pin, for drivers that do not enable MSI-X. Without, the function has none.
    pub fn intx(mut self, line: impl InterruptLine + 'static) -> Builder {
        self.line = Some(Box::new(line));
        self
    }

    /// Subsystem vendor and device ID (PCI-ID-03); the device ID from 0x40 on (PCI-ID-06). 0x1af4 and 0x1100 unless said
    /// otherwise.
    pub fn subsystem_ids(mut self, vendor: u16, device: u16) -> Builder {
        self.subsystem = (vendor, device);
        self
    }

    /// The class code, 24 bits, in place of one that fits the device type.
    pub fn class_code(mut self, class: u32) -> Builder {
        self.class = Some(class);
        self
    }

    /// How wide the function's BARs are: 64 bits unless said otherwise.
    pub fn bar_width(mut self, width: BarWidth) -> Builder {
        self.width = width;
        self
    }

    /// What the doorbell of a queue, given by its number, carries if the driver negotiates NOTIF_CONFIG_DATA: something
    /// by which whoever serves the doorbells knows the queue. The function itself knows it by the doorbell's place. The
    /// queue's number unless said otherwise.
    pub fn notify_config_data(mut self, data: fn(u16) -> u16) -> Builder {
        self.notify_config_data = data;
        self
    }

    /// The function, as after power-on.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(self) -> Result<VirtioPci, BuildError> {
        let Builder { host, vectors, msix, line, subsystem, class, width, notify_config_data } = self;
        let device_type = host.device().device_type();
        let device = ids::device_id(device_type).ok_or(BuildError::DeviceType(device_type))?;
        let queues = host.device().queue_sizes().len();
        let queue_count = u16::try_from(queues).map_err(|_| HostError::TooManyQueues(queues))?;
        let config_len = host.device().config().len();
        let config = u32::try_from(config_len).ok().filter(|_| config_len <= MOST_CONFIG);
        let config = config.ok_or(BuildError::ConfigLength(config_len))?;
        if subsystem.1 < 0x40 {
            return Err(BuildError::Subsystem(subsystem.1));
        }
        let vectors = match (&msix, vectors) {
            (None, _) => 0,
            (Some(_), None) => queue_count.saturating_add(1).clamp(LEAST_VECTORS, MOST_VECTORS),
            (Some(_), Some(count)) if (LEAST_VECTORS..=MOST_VECTORS).contains(&count) => count,
            (Some(_), Some(count)) => return Err(BuildError::VectorCount(count)),
        };

        let msix = Msix::new(vectors, msix.as_deref()).map_err(BuildError::Vector)?;
        let structures = Structures::new(queue_count, config);
        let has_pin = line.is_some();
        let class = class.unwrap_or_else(|| ids::class_code(device_type));
        let mut image = Image::new(&Identity { device, class, subsystem, has_pin });
        let mut bars = vec![Bar { index: STRUCTURES_BAR, size: structures.size, width }];
        if vectors > 0 {
            bars.push(Bar { index: MSIX_BAR, size: msix.layout.size, width });
        }
        bars.iter().for_each(|bar| bar.install(&mut image));
        let places = capabilities::install(&mut image, &structures, (vectors > 0).then_some((vectors, msix.layout)));

        let intx = Intx::new(line, Arc::clone(msix.enabled()));
        let routing = Arc::new(Routing::new(intx, msix, queues));
        // PCI-COMMON-17 PCI-COMMON-18: no administration queues. No SR-IOV capability either.
        let can = Features::RING_RESET | Features::NOTIFICATION_DATA | Features::NOTIF_CONFIG_DATA;
        let selectors = Arc::new(Selectors::default());
        let hooks = Hooks { routing: Arc::clone(&routing), selectors: Arc::clone(&selectors) };
        let host = host.build(can, Arc::new(hooks))?;
        let config = Mutex::new(image.clone());
        let notify_config_data = (0..queue_count).map(notify_config_data).collect();
        Ok(VirtioPci {
            host,
            routing,
            selectors,
            config,
            power_on: image,
            places,
            structures,
            bars,
            notify_config_data,
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("device_type", &self.host.device().device_type())
            .field("vectors", &self.vectors)
            .field("subsystem", &self.subsystem)
            .field("width", &self.width)
            .finish_non_exhaustive()
    }
}

/// A function could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The device's host could not be made.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Functions of this device type have no device ID.
    #[error("{0:?} has no PCI device ID")]
    DeviceType(DeviceType),
    /// The subsystem device ID is one that only transitional functions may have.
    #[error("the subsystem device ID {0:#x} is below 0x40")]
    Subsystem(u16),
    /// Fewer than 2 vectors, or more than 2048.
    #[error("a function cannot have {0} vectors")]
    VectorCount(u16),
    /// The device has more configuration than fits.
    #[error("{0} bytes of configuration are too many")]
    ConfigLength(usize),
    /// The embedder could not make a vector.
    #[error("cannot make an interrupt vector")]
    Vector(#[source] io::Error),
}
