//! Which bytes of a read have arrived.

use super::ProtocolError;

/// The most pieces that may lie apart at a time. Servers send a reply in order, or in a few pieces.
const MOST: usize = 1024;

/// Ranges that do not touch, in order.
#[derive(Debug, Default)]
pub(super) struct Coverage(Vec<(u32, u32)>);

impl Coverage {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Adds the range from `start` up to `end`, which is behind it.
    ///
    /// # Errors
    /// If some of it is there already, or if there are too many.
    pub(super) fn add(&mut self, start: u32, end: u32) -> Result<(), ProtocolError> {
        let next = self.0.partition_point(|(_, known)| *known <= start);
        if self.0.get(next).is_some_and(|(known, _)| *known < end) {
            return Err(ProtocolError::Overlap { start, end });
        }
        let last = next.wrapping_sub(1);
        let extends = self.0.get(last).is_some_and(|(_, known)| *known == start);
        let follows = self.0.get(next).filter(|(known, _)| *known == end).map(|(_, known)| *known);
        let end = follows.unwrap_or(end);
        if extends && follows.is_some() {
            self.0.remove(next);
        }
        match (extends, follows) {
            (true, _) => self.0.get_mut(last).into_iter().for_each(|piece| piece.1 = end),
            (false, Some(_)) => self.0.get_mut(next).into_iter().for_each(|piece| piece.0 = start),
            (false, None) if self.0.len() == MOST => return Err(ProtocolError::Pieces { most: MOST }),
            (false, None) => self.0.insert(next, (start, end)),
        }
        Ok(())
    }

    /// Bytes that have arrived.
    pub(super) fn bytes(&self) -> u32 {
        self.0.iter().map(|(start, end)| end - start).sum()
    }
}
