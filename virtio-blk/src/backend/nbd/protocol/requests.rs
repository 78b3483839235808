//! What the server was asked for.

use super::ProtocolError;
use super::coverage::Coverage;
use super::wire;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Command {
    Read,
    Write { fua: bool },
    Flush,
    Trim,
    WriteZeroes { no_hole: bool, fua: bool },
    Disconnect,
}

impl Command {
    pub(super) fn name(self) -> &'static str {
        match self {
            Command::Read => "a read",
            Command::Write { .. } => "a write",
            Command::Flush => "a flush",
            Command::Trim => "a trim",
            Command::WriteZeroes { .. } => "a write of zeroes",
            Command::Disconnect => "a disconnect",
        }
    }

    /// Whether it changes what is on the disk.
    pub(in super::super) fn changes(self) -> bool {
        matches!(self, Command::Write { .. } | Command::Trim | Command::WriteZeroes { .. })
    }

    /// The request as it is sent; the data of a write follows it.
    pub(in super::super) fn encode(self, cookie: u64, offset: u64, len: u32) -> [u8; 28] {
        let (fua_bit, no_hole_bit) = (1u16, 2u16);
        let (number, flags) = match self {
            Command::Read => (0u16, 0),
            Command::Write { fua } => (1, u16::from(fua) * fua_bit),
            Command::Disconnect => (2, 0),
            Command::Flush => (3, 0),
            Command::Trim => (4, 0),
            Command::WriteZeroes { no_hole, fua } => (6, u16::from(fua) * fua_bit | u16::from(no_hole) * no_hole_bit),
        };
        let mut bytes = [0; 28];
        let (mut rest, mut put) = (&mut bytes[..], 0);
        for field in [
            &wire::REQUEST_MAGIC.to_be_bytes()[..],
            &flags.to_be_bytes(),
            &number.to_be_bytes(),
            &cookie.to_be_bytes(),
            &offset.to_be_bytes(),
            &len.to_be_bytes(),
        ] {
            let (front, back) = rest.split_at_mut(field.len());
            front.copy_from_slice(field);
            (rest, put) = (back, put + field.len());
        }
        debug_assert_eq!(put, 28);
        bytes
    }
}

/// A request in flight.
#[derive(Debug)]
pub(in super::super) struct Active<T> {
    pub(in super::super) command: Command,
    pub(in super::super) offset: u64,
    /// Bytes; zero for a flush.
    pub(in super::super) len: u32,
    /// The error number that its reply has had.
    pub(super) error: Option<u32>,
    /// What its owner knows of it.
    pub(in super::super) user: T,
}

#[derive(Debug)]
struct Slot<T> {
    /// Requests that were in this slot. The cookie has it, so that a second reply to an earlier one is known.
    turn: u64,
    active: Option<Active<T>>,
    coverage: Coverage,
}

/// The requests in flight on one connection, each with something of its owner's.
#[derive(Debug)]
pub(in super::super) struct Requests<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u16>,
}

impl<T> Requests<T> {
    /// Room for `count` requests.
    pub(in super::super) fn new(count: u16) -> Requests<T> {
        let slot = |_| Slot { turn: 0, active: None, coverage: Coverage::default() };
        Requests { slots: (0..count).map(slot).collect(), free: (0..count).rev().collect() }
    }

    /// How many are in flight.
    pub(in super::super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(in super::super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Takes a request in. Returns its cookie; none where there is no room. `len` is zero only for a flush.
    pub(in super::super) fn open(&mut self, command: Command, offset: u64, len: u32, user: T) -> Option<u64> {
        let index = self.free.pop()?;
        let slot = self.slots.get_mut(usize::from(index))?;
        slot.turn = slot.turn.wrapping_add(1);
        slot.coverage.clear();
        slot.active = Some(Active { command, offset, len, error: None, user });
        Some(slot.turn << 16 | u64::from(index))
    }

    fn slot(&mut self, cookie: u64) -> Result<(&mut Active<T>, &mut Coverage), ProtocolError> {
        let slot = self.slots.get_mut((cookie & 0xffff) as usize).filter(|slot| slot.turn << 16 >> 16 == cookie >> 16);
        let parts = slot.and_then(|slot| slot.active.as_mut().map(|active| (active, &mut slot.coverage)));
        parts.ok_or(ProtocolError::Cookie { cookie })
    }

    /// The request in flight with this cookie.
    ///
    /// # Errors
    /// If there is none.
    pub(in super::super) fn get(&mut self, cookie: u64) -> Result<&mut Active<T>, ProtocolError> {
        Ok(self.slot(cookie)?.0)
    }

    /// Notes that the reply has data of the disk from `offset` on. Returns where in the request that is.
    pub(super) fn cover(&mut self, cookie: u64, offset: u64, len: u32) -> Result<u32, ProtocolError> {
        let (active, coverage) = self.slot(cookie)?;
        let outside = ProtocolError::Outside { offset, len };
        let Some(start) = offset.checked_sub(active.offset).and_then(|start| u32::try_from(start).ok()) else {
            return Err(outside);
        };
        match start.checked_add(len) {
            Some(end) if len > 0 && end <= active.len => coverage.add(start, end).map(|()| start),
            _ => Err(outside),
        }
    }

    /// Notes an error in the reply. The first one counts.
    pub(super) fn fail(&mut self, cookie: u64, error: u32) -> Result<(), ProtocolError> {
        if error == 0 {
            return Err(ProtocolError::NoError);
        }
        self.get(cookie)?.error.get_or_insert(error);
        Ok(())
    }

    /// The reply has ended: takes the request out, with the error that it had.
    ///
    /// # Errors
    /// If the reply lacks something.
    pub(super) fn close(&mut self, cookie: u64) -> Result<(Active<T>, Option<u32>), ProtocolError> {
        let (active, coverage) = self.slot(cookie)?;
        let got = coverage.bytes();
        if active.command == Command::Read && active.error.is_none() && got != active.len {
            return Err(ProtocolError::Incomplete { got, asked: active.len });
        }
        let index = (cookie & 0xffff) as u16;
        let active = self.slots.get_mut(usize::from(index)).and_then(|slot| slot.active.take());
        let active = active.ok_or(ProtocolError::Cookie { cookie })?;
        self.free.push(index);
        let error = active.error;
        Ok((active, error))
    }

    /// All that are in flight.
    pub(in super::super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Active<T>> {
        self.slots.iter_mut().filter_map(|slot| slot.active.as_mut())
    }

    /// All that are in flight.
    pub(in super::super) fn iter(&self) -> impl Iterator<Item = &Active<T>> {
        self.slots.iter().filter_map(|slot| slot.active.as_ref())
    }
}
