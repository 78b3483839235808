//! A real tap, in a network namespace of its own.

mod bare;
mod calls;
mod interface;
#[allow(unsafe_code)]
mod sys;

use std::sync::Arc;

use virtio_core::Features;
use virtio_net::features::{CSUM, GUEST_CSUM, GUEST_TSO4, HOST_TSO4, MRG_RXBUF};
use virtio_net::{MacAddress, Net, Tap};

use super::frames::{Direction, Frames, HEADER as HEADER_LEN};
use crate::contest::{Contest, Missing, Run, Side};
use crate::live::{Alive, live, step, step_with_files};
use crate::queues::{Layout, SIZE};
use bare::Bare;
use calls::{Calls, Counted};
use interface::OWN;
pub(super) use interface::Size;

/// Bytes of the header, with mergeable buffers or without.
const HEADER: usize = HEADER_LEN as usize;

/// The device against a loop, each with a tap of its own.
pub(super) fn contest(size: Size, direction: Direction) -> Result<Contest, Missing> {
    let [of_ours, of_bare] = [Arc::new(Calls::default()), Arc::new(Calls::default())];
    let ours = device(size, direction, &of_ours)?;
    let baseline = bare(size, direction, &of_bare)?;
    let bits = 8.0 * size.traffic(direction).frame.len() as f64;
    Ok(Contest::new(ours, baseline).noted(move |outcome| {
        let rates = format!("Gbit/s: {:.1}, bare {:.1}", bits / outcome.ours, bits / outcome.baseline);
        match size {
            Size::Mtu => rates,
            Size::Tso => {
                format!("{rates}; system calls per MiB: {:.1}, bare {:.1}", of_ours.per_mib(), of_bare.per_mib())
            }
        }
    }))
}

/// A device on a tap that it was passed.
fn device(size: Size, direction: Direction, calls: &Arc<Calls>) -> Result<Side, Missing> {
    let open = |tap: std::fs::File| Tap::by_files(vec![tap.into()]).open().map_err(std::io::Error::other);
    let (tap, mut host) = interface::make(size, direction, open)?;
    let mut frames = Frames::new(Layout::Split, size.traffic(direction));
    let net = match size {
        // Counting takes its time, which shows with short frames.
        Size::Mtu => Net::builder(tap),
        Size::Tso => Net::builder(Counted { backend: tap, calls: Arc::clone(calls) }),
    };
    let net = net.mac(MacAddress(OWN)).queue_size(SIZE).build().expect("a device");
    let handle = net.handle();
    let tso = if size == Size::Tso { GUEST_TSO4 | HOST_TSO4 } else { Features::NONE };
    let own = CSUM | GUEST_CSUM | MRG_RXBUF | tso;
    let (vmm, mut runners) = live(net, Layout::Split, own, frames.memory(), &[frames.enabled()]);
    let mut alive = Alive { runner: runners.remove(0), host: vmm };
    let batch = u64::from(size.traffic(direction).batch);
    let mut expected = 0;
    Ok(Box::new(move |batches| {
        let Alive { runner, host: vmm } = &mut alive;
        let doorbell = || vmm.notify(direction.queue());
        let times = match direction {
            Direction::Receive => {
                frames.time(batches, || host.feed(), doorbell, |first| step_with_files(runner, first))
            }
            Direction::Transmit => frames.time(batches, || (), doorbell, |first| step(runner, first)),
        };
        assert_eq!(vmm.last_fault(), None);
        let counts = handle.counts();
        expected += u64::from(batches) * batch;
        let count = if direction == Direction::Receive { counts.rx_frames } else { counts.tx_frames };
        assert_eq!(count, expected, "all frames have gone through");
        Run { times, round_trip: None }
    }))
}

/// A loop that reads or writes the tap, with its driver.
fn bare(size: Size, direction: Direction, calls: &Arc<Calls>) -> Result<Side, Missing> {
    let (tap, mut host) = interface::make(size, direction, Ok)?;
    let traffic = size.traffic(direction);
    let len = traffic.len();
    let mut frames = Frames::new(Layout::Split, traffic);
    let queue = frames.queue();
    // What a task's runner looks at before it runs the task.
    let doorbell = queue.setup().doorbell.clone();
    let ring = doorbell.clone();
    let mut bare = Bare::new(tap, queue, Arc::clone(calls), len);
    Ok(Box::new(move |batches| {
        let times = match direction {
            Direction::Receive => frames.time(
                batches,
                || host.feed(),
                || ring.signal(),
                |_| {
                    doorbell.take();
                    bare.receive();
                },
            ),
            Direction::Transmit => frames.time(
                batches,
                || (),
                || ring.signal(),
                |_| {
                    doorbell.take();
                    bare.transmit();
                },
            ),
        };
        assert_eq!(bare.queue.fault(), None);
        Run { times, round_trip: None }
    }))
}
