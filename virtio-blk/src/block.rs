//! The device, as its host sees it.

use std::sync::Arc;

use virtio_core::device::{ActivateError, DeviceState, FeatureRefusal, StateError};
use virtio_core::{Activation, ConfigSpace, DeviceType, Features, QueueTask, VirtioDevice};

use crate::backend::BlockBackend;
use crate::builder::{BlockBuilder, Zoned};
use crate::features;
use crate::handle::BlockHandle;
use crate::shared::Shared;
use crate::state;
use crate::task::BlockTask;
use crate::wire::{field, put};

/// A virtio block device (virtio 1.4, section 5.2), to be given to a [`DeviceHost`](virtio_core::DeviceHost).
///
/// Send and Sync. No call waits for a queue task.
#[derive(Debug)]
pub struct Block {
    shared: Arc<Shared>,
    offered: Features,
    queue_sizes: Vec<u16>,
    zoned: Option<Zoned>,
    /// What was negotiated; nothing before that.
    accepted: Features,
}

impl Block {
    /// A device on `backend`.
    pub fn builder(backend: impl BlockBackend + 'static) -> BlockBuilder {
        BlockBuilder::new(Arc::new(backend))
    }

    pub(crate) fn new(shared: Arc<Shared>, offered: Features, queue_sizes: Vec<u16>, zoned: Option<Zoned>) -> Block {
        let block = Block { shared, offered, queue_sizes, zoned, accepted: Features::NONE };
        block.show_zones(true);
        block
    }

    /// BLK-INIT-07: zones are there for a driver that has not decided, and for one that knows about them.
    fn show_zones(&self, show: bool) {
        if let Some(zoned) = &self.zoned {
            let bytes = if show { zoned.bytes } else { [0; field::ZONED.end - field::ZONED.start] };
            self.shared.config.store(|config| put(config, field::ZONED, &bytes));
        }
    }

    /// A hold on the device that stays when it has gone to its host.
    pub fn handle(&self) -> BlockHandle {
        BlockHandle(Arc::clone(&self.shared))
    }
}

impl VirtioDevice for Block {
    fn device_type(&self) -> DeviceType {
        DeviceType::BLOCK
    }

    fn features(&self) -> Features {
        self.offered
    }

    /// BLK-INIT-02
    fn consistent(&self, offered: Features) -> Features {
        if offered.contains(features::FLUSH) { offered } else { offered - features::CONFIG_WCE }
    }

    fn feature_name(&self, bit: u32) -> Option<&'static str> {
        features::feature_name(bit)
    }

    fn queue_sizes(&self) -> &[u16] {
        &self.queue_sizes
    }

    fn config(&self) -> ConfigSpace {
        self.shared.config.clone()
    }

    fn negotiate(&mut self, features: Features) -> Result<(), FeatureRefusal> {
        let zoned = features.contains(features::ZONED);
        // BLK-INIT-08, DRV-BLK-02
        if self.zoned.is_some_and(|zones| zones.managed) && !zoned {
            return Err(FeatureRefusal::Missing(features::ZONED));
        }
        self.accepted = features;
        self.show_zones(zoned);
        // BLK-INIT-03, BLK-STABLE-01: a driver that does not flush gets its writes on stable storage.
        self.shared.set_writeback(features.contains(features::FLUSH));
        Ok(())
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        // DRV-BLK-03: the cache mode is the driver's with CONFIG_WCE, and nothing else ever is.
        if !self.accepted.contains(features::CONFIG_WCE) {
            return;
        }
        let writeback = (field::WRITEBACK.start as u64).checked_sub(offset);
        let writeback = writeback.and_then(|at| data.get(usize::try_from(at).ok()?));
        if let Some(value) = writeback {
            // DRV-BLK-03: anything but zero is one.
            self.shared.set_writeback(*value != 0);
        }
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        let features = activation.features;
        activation.task_per_queue(|queue| BlockTask::new(queue, Arc::clone(&self.shared), features))
    }

    fn reset(&mut self) {
        let Block { shared, offered: _, queue_sizes: _, zoned: _, accepted } = self;
        *accepted = Features::NONE;
        shared.set_writeback(true);
        shared.leave_tasks();
        self.show_zones(true);
    }

    fn save(&self) -> DeviceState {
        state::save(&self.shared)
    }

    fn restore(&mut self, state: &DeviceState) -> Result<(), StateError> {
        state::restore(&self.shared, state, self.accepted.contains(features::CONFIG_WCE))
    }
}
