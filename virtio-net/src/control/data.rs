//! The bytes of a command, taken from the front.

use super::Refusal;

/// What is left of a command.
#[derive(Clone, Copy)]
pub(super) struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Data<'a> {
        Data(bytes)
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(super) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Refusal> {
        let missing = len.saturating_sub(self.0.len());
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Refusal::Short { missing })?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let missing = N.saturating_sub(self.0.len());
        let (taken, rest) = self.0.split_first_chunk().ok_or(Refusal::Short { missing })?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Refusal> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16, Refusal> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Refusal> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Refusal> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// There is nothing left.
    pub(super) fn end(&self) -> Result<(), Refusal> {
        match self.0.len() {
            0 => Ok(()),
            extra => Err(Refusal::Long { extra }),
        }
    }
}
