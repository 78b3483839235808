//! What becomes of a frame from the network.

use std::cell::Cell;

use virtio_core::RateLimit;

use super::mailbox::{OwnedFrame, Pushed};
use crate::NetHeader;
use crate::counters::Counters;
use crate::filter::Refusal;
use crate::header::MAX_HEADER_LEN;
use crate::packet::hash::Hash;
use crate::packet::{self, Ethernet, Layers, flow};
use crate::plan::Plan;
use crate::settings::Steering;
use crate::shared::Shared;
use crate::wire::ETHERNET_LEN;
use crate::{GsoType, Offloads};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was counted, and that is all.
    Drop,
    /// The task of this pair gives it to the driver.
    Elsewhere(u16),
    /// There is work to do that the driver does not take over.
    Rework,
    /// The driver gets it.
    Give(Give),
}

/// What goes before a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Give {
    /// All but the number of buffers: see [`NetHeader::words`].
    words: [u64; MAX_HEADER_LEN / 8],
}

/// Who looks, and by what.
pub(super) struct Inspector<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Shared,
    pub(super) counters: &'a Counters,
    /// The pair that the frame came by.
    pub(super) pair: u16,
    /// Whether the pair's own receive queue takes frames.
    pub(super) usable: bool,
    pub(super) link_up: bool,
    /// All frames that come by this pair are for its own queue: see [`Plan::is_steered`].
    pub(super) own: bool,
    /// The pair that was handed enough frames for now.
    pub(super) crowded: &'a Cell<Option<u16>>,
    /// How much the driver is given.
    pub(super) limit: Option<&'a RateLimit>,
}

impl Inspector<'_> {
    /// Looks at a frame of `len` bytes, by its first bytes in memory of our own. One that was `steered` has been found to be
    /// for this pair, while that is in use.
    #[inline]
    pub(super) fn inspect(&self, header: &NetHeader, head: &[u8], len: usize, steered: bool) -> Verdict {
        let Inspector { plan, counters, .. } = self;
        if !self.link_up {
            counters.rx_link_down.add(1);
            return Verdict::Drop;
        }
        let Some(ethernet) = Ethernet::parse(head).filter(|_| len >= ETHERNET_LEN) else {
            counters.rx_short.add(1);
            return Verdict::Drop;
        };
        // Filters come before steering.
        if let Err(refusal) = plan.filter.admits(ethernet.destination, ethernet.vlan) {
            self.filtered(refusal);
            return Verdict::Drop;
        }
        if !header.is_gso() && plan.is_too_long(len, ethernet.vlan.is_some()) {
            counters.rx_oversize.add(1);
            return Verdict::Drop;
        }
        let mut hash = Hash::default();
        // The usual frame belongs to where it came from.
        if !(self.own && plan.hasher.is_none()) {
            let layers = Layers::parse(head);
            if let (Some(hasher), Some(layers)) = (&plan.hasher, &layers) {
                hash = hasher.hash(head, layers);
            }
            // NET-MQ-02: what was handed over to a pair that is in use no more goes elsewhere.
            if (!steered || self.pair >= plan.pairs)
                && let Some(verdict) = self.steer(layers.as_ref(), hash)
            {
                return verdict;
            }
        }
        if needs_rework(header, plan.receive) {
            return Verdict::Rework;
        }
        match shown(header, head, len, plan.receive) {
            Some(header) => {
                // NET-HASH-06
                let Hash { value, report } = if plan.report { hash } else { Hash::default() };
                Verdict::Give(Give { words: header.words(value, report) })
            }
            None => {
                counters.rx_bad_header.add(1);
                Verdict::Drop
            }
        }
    }

    #[cold]
    fn filtered(&self, refusal: Refusal) {
        match refusal {
            Refusal::Vlan => self.counters.rx_filtered_vlan.add(1),
            _ => self.counters.rx_filtered_mac.add(1),
        }
    }

    /// What becomes of a frame that is not for this pair; none if it is.
    #[inline(never)]
    fn steer(&self, layers: Option<&Layers>, hash: Hash) -> Option<Verdict> {
        match self.choose(layers, hash) {
            Some(pair) if pair == self.pair => None,
            Some(pair) => Some(Verdict::Elsewhere(pair)),
            None => {
                self.counters.rx_no_queue.add(1);
                Some(Verdict::Drop)
            }
        }
    }

    /// What goes before a frame that is spread over so many buffers.
    #[inline(always)]
    pub(super) fn header(&self, give: &Give, num_buffers: u16) -> [u8; MAX_HEADER_LEN] {
        // NET-RX-01, NET-RX-02, NET-RXBUF-01
        NetHeader::bytes(give.words, num_buffers)
    }

    /// Counts a frame that the driver was given.
    #[inline]
    pub(super) fn count(&self, give: &Give, len: usize) {
        let counters = self.counters;
        counters.rx_frames.add(1);
        counters.rx_bytes.add(len as u64);
        if let Some(limit) = self.limit {
            Inspector::use_up(limit, len);
        }
        let [flags, gso_type, ..] = give.words[0].to_le_bytes();
        if flags != 0 {
            self.count_work(NetHeader { flags, gso_type, ..NetHeader::default() }, len);
        }
    }

    #[inline(never)]
    fn count_work(&self, header: NetHeader, len: usize) {
        let counters = self.counters;
        if header.needs_csum() {
            counters.rx_csum_frames.add(1);
        } else {
            counters.rx_csum_valid.add(1);
        }
        if header.is_gso() {
            counters.rx_gso_frames.add(1);
            counters.rx_gso_bytes.add(len as u64);
        }
    }

    /// Hands a frame to another pair's task.
    pub(super) fn hand_over(&self, pair: u16, frame: OwnedFrame) {
        let mailbox = self.shared.mailboxes.get(usize::from(pair));
        let wake = self.shared.wakes.get(usize::from(self.pair));
        match mailbox.zip(wake).map(|(mailbox, wake)| mailbox.push(frame, self.pair, wake)) {
            Some(Pushed::Taken) => {}
            Some(Pushed::Enough) => self.crowded.set(Some(pair)),
            Some(Pushed::Refused) | None => self.counters.rx_steering_full.add(1),
        }
    }

    /// Apart from the work for each frame: few devices have a limit.
    #[inline(never)]
    fn use_up(limit: &RateLimit, len: usize) {
        limit.take(len as u64);
    }

    /// Whether the pair that was handed enough still has that. This task is woken when it has not.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded.get().is_some() && self.is_still_crowded()
    }

    #[cold]
    fn is_still_crowded(&self) -> bool {
        let wake = self.shared.wakes.get(usize::from(self.pair));
        let full = |pair| {
            let mailbox = self.shared.mailboxes.get(usize::from(pair)).zip(wake);
            mailbox.is_some_and(|(mailbox, wake)| mailbox.has_to_wait(self.pair, wake))
        };
        let crowded = self.crowded.get().is_some_and(full);
        if !crowded {
            self.crowded.set(None);
        }
        crowded
    }

    /// The pair whose receive queue a frame is for; none where that takes none.
    fn choose(&self, layers: Option<&Layers>, hash: Hash) -> Option<u16> {
        let Inspector { plan, shared, pair, usable, .. } = self;
        match &plan.steering {
            Steering::Automatic => {
                let wanted = if plan.is_steered(shared.network_steers) {
                    *pair
                } else {
                    layers.and_then(flow::flow).map_or(0, |flow| shared.flows.pair(flow, plan.pairs))
                };
                if wanted == *pair && *usable && wanted < plan.pairs {
                    return Some(wanted);
                }
                // NET-MQ-03, NET-MQ-04
                let wanted = if wanted < plan.pairs { wanted } else { 0 };
                let others = (wanted..plan.pairs).chain(0..wanted);
                others.into_iter().find(|other| shared.is_usable(*other))
            }
            Steering::Rss { table, unclassified } => {
                // NET-RSS-01: the table has a power of two of entries.
                let at = hash.value as usize & table.len().wrapping_sub(1);
                let pair = if hash.is_known() { table.get(at).unwrap_or(unclassified) } else { unclassified };
                // NET-RSS-02
                Some(*pair).filter(|pair| shared.is_usable(*pair))
            }
        }
    }
}

/// Whether something is left to do with a frame that the driver does not take over.
#[inline]
fn needs_rework(header: &NetHeader, taken: Offloads) -> bool {
    if header.is_gso() {
        // NET-RX-07, NET-RX-08, NET-RX-09, NET-RX-10, NET-RX-11, NET-RX-13, NET-RX-21, NET-RX-25, NET-RX-26
        return !header.offloads().is_some_and(|needs| taken.contains(needs));
    }
    // NET-RX-06
    header.flags != 0 && header.needs_csum() && !taken.contains(Offloads::CSUM)
}

/// What the driver sees of a header that leaves nothing that it does not take over; none where it makes no sense.
#[inline]
fn shown(header: &NetHeader, head: &[u8], len: usize, taken: Offloads) -> Option<NetHeader> {
    // NET-RX-05
    if header.flags | header.gso_type == 0 || !taken.contains(Offloads::CSUM) {
        return Some(NetHeader::default());
    }
    let mut shown = NetHeader::default();
    if header.needs_csum() {
        // NET-RX-18, NET-RX-20
        if header.csum_end() > len {
            return None;
        }
        shown.flags = NetHeader::NEEDS_CSUM;
        (shown.csum_start, shown.csum_offset) = (header.csum_start, header.csum_offset);
    }
    if !header.is_gso() {
        // NET-RX-32, NET-RX-33: whoever sets it has verified it.
        shown.flags |= header.flags & NetHeader::DATA_VALID;
        return Some(shown);
    }
    // NET-RX-27, NET-RX-28
    if !header.needs_csum() || header.gso_size == 0 {
        return None;
    }
    // NET-RX-30, NET-RX-34: neither RSC_INFO nor DATA_VALID.
    (shown.gso_type, shown.gso_size) = (header.gso_type, header.gso_size);
    // NET-RX-31
    let hdr_len = packet::header_len(head, header).max(header.csum_end()).min(len);
    shown.hdr_len = u16::try_from(hdr_len).unwrap_or(u16::MAX);
    if header.gso_type & NetHeader::UDP_TUNNEL != 0 {
        // NET-RX-23, NET-RX-35
        shown.flags |= header.flags & NetHeader::UDP_TUNNEL_CSUM;
        (shown.outer_th_offset, shown.inner_nh_offset) = (header.outer_th_offset, header.inner_nh_offset);
    }
    Some(shown)
}

impl NetHeader {
    /// Where the checksum ends that is to be completed.
    fn csum_end(&self) -> usize {
        usize::from(self.csum_start) + usize::from(self.csum_offset) + 2
    }

    /// What a receiver has to take over to take a frame that is to be cut; none where that is not known.
    pub(crate) fn offloads(&self) -> Option<Offloads> {
        let base = match self.gso()? {
            GsoType::None => return None,
            GsoType::Tcp4 => Offloads::TSO4,
            GsoType::Tcp6 => Offloads::TSO6,
            GsoType::Udp => Offloads::UFO,
            // Which of the two does not show here; a driver that takes one takes both, or the frame is cut for it.
            GsoType::UdpL4 => Offloads::USO4 | Offloads::USO6,
        };
        let tunnel = match self.gso_type & NetHeader::UDP_TUNNEL {
            0 => Offloads::NONE,
            NetHeader::UDP_TUNNEL => return None,
            _ => Offloads::UDP_TUNNEL_GSO,
        };
        let sums = self.flags & NetHeader::UDP_TUNNEL_CSUM != 0;
        let ecn = self.gso_type & NetHeader::ECN != 0;
        Some((base | tunnel | Offloads::CSUM).with_if(sums, Offloads::UDP_TUNNEL_GSO_CSUM).with_if(ecn, Offloads::ECN))
    }
}
