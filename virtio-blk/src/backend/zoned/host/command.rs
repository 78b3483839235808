//! Commands to the device.

use std::ops::Range;

use super::{Command, Host};
use crate::backend::zoned::queue::ZonedQueue;
use crate::backend::zoned::shared::Keep;
use crate::backend::{Operation, OperationKind, OperationResult};

impl Host {
    /// Has the device do what the table has done already.
    fn perform(&self, kind: OperationKind, range: &Range<u64>) -> OperationResult {
        let command = match kind {
            OperationKind::ZoneOpen => Command::Open,
            OperationKind::ZoneClose => Command::Close,
            OperationKind::ZoneFinish => Command::Finish,
            _ => Command::Reset,
        };
        // BLK-ZONE-05
        self.device.command(command, range).map(|()| 0).map_err(|error| self.explain(error))
    }
}

impl ZonedQueue {
    /// Has the device do a command that was admitted. Waits for it.
    pub(in crate::backend::zoned) fn command(&mut self, operation: Box<Operation>, flight: u64, barrier: u64) {
        let range = self.shared.disk().range_of_flight(flight);
        let result = self.shared.host.as_ref().map_or(Ok(0), |host| host.perform(operation.kind, &range));
        // Well or not, the device is asked what it has done.
        self.shared.ended(flight, false);
        self.shared.disk().lift(barrier);
        self.end(operation, result, Keep::Nothing);
    }
}
