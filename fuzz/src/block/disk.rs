//! What the device is on.

use virtio_blk::backend::ZonedBackend;
use virtio_blk::backend::zone::{ZoneState, ZonedModel};
use virtio_blk::{Block, BlockBuilder, MemoryBackend};

use super::slow::Slow;

/// Sectors of every disk.
pub(crate) const SECTORS: u64 = 64;
/// Bytes of it.
pub(crate) const SIZE: usize = SECTORS as usize * 512;
/// Bytes of each zone.
pub(crate) const ZONE_LEN: u64 = 4096;

/// A disk of one of several kinds.
pub(crate) struct Disk {
    /// Where it does what it is asked at once.
    pub(crate) memory: Option<MemoryBackend>,
    pub(crate) slow: Option<Slow>,
    pub(crate) zoned: Option<Zones>,
}

/// A disk with zones, and its limits.
pub(crate) struct Zones {
    pub(crate) backend: ZonedBackend,
    open: u32,
    active: u32,
}

impl Disk {
    /// From the low bits on: slow, zoned, host-aware zones, stubborn, two bits for limits on zones, a conventional zone,
    /// read-only.
    pub(crate) fn new(kind: u8) -> Disk {
        let bit = |bit: u8| kind & 1 << bit != 0;
        let slow = bit(0).then(|| Slow::new(SIZE, bit(3), bit(4)));
        let content = (0..SIZE).map(|at| (at / 512) as u8).collect();
        let memory = (!bit(0)).then(|| MemoryBackend::new(content));
        let zoned = bit(1).then(|| {
            let builder = match (&slow, &memory) {
                (Some(slow), _) => ZonedBackend::builder(slow.clone()),
                (None, Some(memory)) => ZonedBackend::builder(memory.clone()),
                (None, None) => unreachable!("it is one of them"),
            };
            let (aware, limits) = (bit(2), kind >> 4 & 3);
            let conventional = u32::from(bit(6));
            let builder = builder.zone_len(ZONE_LEN).conventional(conventional);
            let (builder, open, active) = match (aware, limits) {
                (true, _) => (builder.model(ZonedModel::HostAware), 0, 0),
                (false, 0) => (builder, 0, 0),
                (false, 1) => (builder.max_open(1).max_active(2), 1, 2),
                (false, 2) => (builder.max_open(2).zone_capacity(3072), 2, 0),
                (false, _) => (builder.max_active(3).zone_capacity(3072).max_append_len(1024), 0, 3),
            };
            Zones { backend: builder.build().expect("good zones"), open, active }
        });
        Disk { memory, slow, zoned }
    }

    /// A disk with zones that was made elsewhere.
    pub(crate) fn over(backend: ZonedBackend) -> Disk {
        Disk { memory: None, slow: None, zoned: Some(Zones { backend, open: 0, active: 0 }) }
    }

    pub(crate) fn builder(&self) -> BlockBuilder {
        match (&self.zoned, &self.slow, &self.memory) {
            (Some(zones), _, _) => Block::builder(zones.backend.clone()),
            (None, Some(slow), _) => Block::builder(slow.clone()),
            (None, None, Some(memory)) => Block::builder(memory.clone()),
            (None, None, None) => unreachable!("it is one of them"),
        }
    }

    /// The memory of a disk of which it is known what it has to contain.
    pub(crate) fn plain(&self) -> Option<&MemoryBackend> {
        self.memory.as_ref().filter(|_| self.zoned.is_none())
    }

    /// Panics where zones break their rules, or operations do not get on.
    pub(crate) fn check(&self) {
        if let Some(slow) = &self.slow {
            slow.check();
        }
        let Some(Zones { backend, open, active }) = &self.zoned else { return };
        let count = check_zones(backend);
        assert!(*open == 0 || count.open <= *open, "{count:?}: more zones are open than can be");
        assert!(*active == 0 || count.active <= *active, "{count:?}: more zones are active than can be");
    }
}

/// How many zones are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InUse {
    pub(crate) open: u32,
    pub(crate) active: u32,
}

/// Panics where a zone cannot be like that; counts.
pub(crate) fn check_zones(backend: &ZonedBackend) -> InUse {
    let mut count = InUse { open: 0, active: 0 };
    for number in 0..backend.zones() {
        let zone = backend.zone(number).expect("a zone that is there");
        let open = matches!(zone.state, ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen);
        count.open += u32::from(open);
        count.active += u32::from(open || zone.state == ZoneState::Closed);
        let written = zone.write_pointer.checked_sub(zone.start).expect("the write pointer is in the zone");
        match zone.state {
            ZoneState::Empty => assert_eq!(written, 0, "{zone:?}"),
            ZoneState::Closed => assert!(written > 0 && written <= zone.capacity, "{zone:?}"),
            ZoneState::ImplicitlyOpen | ZoneState::ExplicitlyOpen => assert!(written <= zone.capacity, "{zone:?}"),
            _ => {}
        }
        assert!(written.is_multiple_of(512), "{zone:?}");
    }
    count
}
