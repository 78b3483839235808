//! The device, as its host sees it.

use std::sync::Arc;

use virtio_core::device::{ActivateError, DeviceState, FeatureRefusal, StateError};
use virtio_core::{Activation, ConfigSpace, DeviceType, Features, QueueTask, VirtioDevice, Virtqueue};

use crate::backend::{Configuration, NetBackend};
use crate::builder::NetBuilder;
use crate::features;
use crate::handle::NetHandle;
use crate::shared::Shared;
use crate::state;
use crate::task::{ControlTask, IdleTask, PairTask};

/// A virtio network device (virtio 1.4, section 5.1), to be given to a [`DeviceHost`](virtio_core::DeviceHost).
///
/// Send and Sync. No call waits for a queue task.
#[derive(Debug)]
pub struct Net {
    shared: Arc<Shared>,
    offered: Features,
    queue_sizes: Vec<u16>,
    /// What was negotiated; nothing before that.
    accepted: Features,
}

impl Net {
    /// A device on the network `backend`.
    pub fn builder(backend: impl NetBackend + 'static) -> NetBuilder {
        NetBuilder::new(Arc::new(backend))
    }

    pub(crate) fn new(shared: Arc<Shared>, offered: Features, queue_sizes: Vec<u16>) -> Net {
        Net { shared, offered, queue_sizes, accepted: Features::NONE }
    }

    /// A hold on the device that stays when it has gone to its host.
    pub fn handle(&self) -> NetHandle {
        NetHandle(Arc::clone(&self.shared))
    }
}

impl VirtioDevice for Net {
    fn device_type(&self) -> DeviceType {
        DeviceType::NET
    }

    fn features(&self) -> Features {
        self.offered
    }

    fn consistent(&self, offered: Features) -> Features {
        features::consistent(offered)
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
        features::check(features)?;
        self.accepted = features;
        self.shared.start_anew(features);
        Ok(())
    }

    fn activate(&mut self, activation: Activation) -> Result<Vec<Box<dyn QueueTask>>, ActivateError> {
        self.shared.configure_network().map_err(|error| ActivateError::Device(Box::new(error)))?;
        let features = activation.features;
        // NET-FEAT-03
        let pairs = features::pairs(features, self.shared.limits.max_pairs);
        let control = features.contains(features::CTRL_VQ).then_some(2 * pairs);
        let enabled: Vec<u16> = activation.queues.iter().map(|setup| setup.index).collect();
        let (mut tasks, mut idle) = (Vec::<Box<dyn QueueTask>>::new(), Vec::new());
        let mut of_pairs: Vec<Vec<Virtqueue>> = (0..pairs).map(|_| Vec::new()).collect();
        for queue in activation.into_queues()? {
            let index = queue.index();
            self.shared.know_queue(index, Arc::clone(&queue.setup().counters));
            if control == Some(index) {
                tasks.push(Box::new(ControlTask::new(Arc::clone(&self.shared), queue, enabled.clone())));
            } else {
                of_pairs.get_mut(usize::from(index / 2)).unwrap_or(&mut idle).push(queue);
            }
        }
        for (pair, queues) in (0..).zip(of_pairs).filter(|(_, queues)| !queues.is_empty()) {
            tasks.push(Box::new(PairTask::new(Arc::clone(&self.shared), pair, queues)));
        }
        if !idle.is_empty() {
            tasks.push(Box::new(IdleTask(idle)));
        }
        Ok(tasks)
    }

    fn reset(&mut self) {
        let Net { shared, offered: _, queue_sizes: _, accepted } = self;
        *accepted = Features::NONE;
        shared.start_anew(Features::NONE);
        shared.close_mailboxes();
        if let Err(error) = shared.backend.configure(&Configuration::default()) {
            shared
                .log
                .log(log::Level::Warn, format_args!("the network cannot be brought back to its first state: {error}"));
        }
    }

    fn save(&self) -> DeviceState {
        state::save(&self.shared)
    }

    fn restore(&mut self, state: &DeviceState) -> Result<(), StateError> {
        state::restore(&self.shared, state, self.accepted)
    }
}
