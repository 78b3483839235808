//! The split ring against a reference model and against virtio-queue, over random histories of good and bad drivers.

mod differential;
mod history;
mod model;
