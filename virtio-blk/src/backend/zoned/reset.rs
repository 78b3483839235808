//! Resets of zones, and erasures, which are resets as well; and every command to zones of a device of the host.

use std::ops::Range;

use super::disk::{Admitted, Disk, Verdict};
use super::queue::{Job, ZonedQueue};
use super::shared::Keep;
use crate::backend::{Operation, OperationError, OperationKind, OperationResult, ZoneError};

/// The zones that an operation is for.
fn zones(disk: &Disk, operation: &Operation) -> Result<Range<u32>, OperationError> {
    let geometry = &disk.table.geometry;
    let zones = match operation.kind {
        // DRV-BLK-18
        OperationKind::ZoneResetAll if operation.offset != 0 => None,
        OperationKind::ZoneResetAll => Some(0..geometry.zones()),
        OperationKind::ZoneReset | OperationKind::ZoneOpen | OperationKind::ZoneClose | OperationKind::ZoneFinish => {
            geometry.zone_from(operation.offset).map(|zone| zone..zone.saturating_add(1))
        }
        // BLK-ZONE-24
        _ if !operation.range.is_multiple_of(geometry.zone_len) => None,
        _ => {
            let first = geometry.zone_from(operation.offset);
            let range = operation.offset..operation.offset.saturating_add(operation.range);
            first.and_then(|_| geometry.zones_of(&range))
        }
    };
    Ok(zones.ok_or(ZoneError::InvalidCommand)?)
}

impl ZonedQueue {
    /// Empties zones when nothing is being written there any more. Writes that come later wait until that is done: else
    /// they could go on for ever.
    pub(super) fn reset(&mut self, operation: Box<Operation>, job: Job) {
        let erase = operation.kind == OperationKind::SecureErase;
        if erase && self.shared.secure_erase.is_none() {
            return self.end(operation, Err(OperationError::Unsupported), Keep::Nothing);
        }
        if erase && operation.range == 0 {
            return self.end(operation, Ok(0), Keep::Nothing);
        }
        let mut barrier = match job {
            Job::Reset { barrier } => Some(barrier),
            _ => None,
        };
        let verdict = self.decide(|disk| {
            let verdict = zones(disk, &operation).and_then(|zones| match operation.kind {
                kind if self.shared.host.is_some() => Ok(disk.command(kind, zones)?),
                // BLK-ZONE-25
                OperationKind::SecureErase => Ok(disk.erase(zones)?),
                OperationKind::ZoneReset => Ok(disk.reset(zones)?.without_flight()),
                _ => Ok(disk.reset_all().without_flight()),
            });
            match &verdict {
                // An erasure, or a command to the host's device, keeps writes away until its end.
                Ok(Verdict::Wait | Verdict::Go(Admitted { flight: Some(_), .. })) if barrier.is_none() => {
                    let range = zones(disk, &operation).map(|zones| disk.span(zones))?;
                    barrier = Some(disk.bar(range));
                }
                Ok(Verdict::Wait | Verdict::Go(Admitted { flight: Some(_), .. })) => {}
                Ok(Verdict::Go(_)) | Err(_) => {
                    if let Some(barrier) = barrier.take() {
                        disk.lift(barrier);
                    }
                }
            }
            verdict
        });
        match (verdict, barrier) {
            (Ok(Verdict::Go(Admitted { flight: Some(flight), .. })), Some(barrier)) if !erase => {
                self.command(operation, flight, barrier);
            }
            (Ok(Verdict::Go(Admitted { flight: Some(flight), .. })), Some(barrier)) => {
                self.pass(operation, Job::Erase { flight, barrier });
            }
            (Ok(Verdict::Wait), Some(barrier)) => self.park(operation, Job::Reset { barrier }),
            (Err(error), _) => self.end(operation, Err(error), Keep::Nothing),
            (Ok(_), _) => self.end(operation, Ok(0), Keep::States),
        }
    }

    pub(super) fn erased(&mut self, operation: Box<Operation>, result: OperationResult, flight: u64, barrier: u64) {
        let mut disk = self.shared.disk();
        disk.ended(flight, result.is_ok());
        disk.lift(barrier);
        drop(disk);
        self.end(operation, result, Keep::All);
    }
}
