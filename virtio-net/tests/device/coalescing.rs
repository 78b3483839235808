//! Interrupts that are held back.

use virtio_core::Features;
use virtio_core::testing::{Buffer, RingDriver, Wish};
use virtio_net::NetHeader;

use crate::commands::*;
use crate::frames::{BROADCAST, OWN, plain};
use crate::network::Network;
use crate::rig::*;

each_transport! {
    so_many_packets_are_one_interrupt,
    an_interrupt_comes_when_the_time_is_over,
    a_delay_that_becomes_shorter_is_over_at_once,
    queues_are_held_back_apart,
    net_coal_01_what_is_reserved_is_ignored,
    net_coal_02_the_last_command_counts,
    net_coal_03_extremes_are_kept,
    net_coal_04_other_queues_have_no_delay,
    net_coal_05_a_queue_that_is_enabled_again_has_the_delay_of_all,
    net_coal_08_who_wants_no_interrupt_gets_none,
    net_coal_09_a_reset_takes_all_delays_back,
}

const DELAYS: Features =
    Features::from_bits(USUAL.bits() | CTRL_VQ.bits() | NOTF_COAL.bits() | VQ_NOTF_COAL.bits() | MQ.bits());
/// Longer than any test.
pub(crate) const FOREVER: u32 = u32::MAX;

fn rig<P: Port>() -> (Rig<P>, Queues<P::Driver>) {
    let mut rig = Rig::with(Network::new(2), |builder| builder);
    let queues = rig.live(DELAYS);
    (rig, queues)
}

fn set<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, command: Command, data: &[u8]) {
    assert_eq!(rig.order(queues, command, data), OK);
    let _ = rig.port.take_interrupts();
}

/// The delay of a queue, as the device says; none where it has none.
pub(crate) fn get<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, queue: u16) -> Option<(u32, u32)> {
    let data = [queue.to_le_bytes(), [0xaa, 0xbb]].concat();
    let answer = rig.ask(queues, COAL_VQ_GET.0, COAL_VQ_GET.1, &data, 9).expect("an answer");
    match &answer[..] {
        [ERR] => None,
        [OK, a, b, c, d, e, f, g, h] => {
            Some((u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h])))
        }
        _ => panic!("{answer:?}"),
    }
}

/// Sends a frame, or receives one; whether the driver was interrupted for it. The driver does not look what came back, so
/// that it has asked for an interrupt once.
pub(crate) fn interrupts<P: Port>(rig: &Rig<P>, queues: &mut Queues<P::Driver>, queue: u16) -> bool {
    let pair = queue / 2;
    let _ = rig.port.take_interrupts();
    let (rx, tx) = (&queues.rx[usize::from(pair)], &queues.tx[usize::from(pair)]);
    let before = if queue.is_multiple_of(2) { rx.waiting() } else { tx.waiting() };
    if queue.is_multiple_of(2) {
        rig.post(queues, pair, 2048);
        rig.arrive(0, NetHeader::default(), &plain(OWN, 60));
        assert_eq!(queues.rx[usize::from(pair)].waiting(), before + 1, "buffers are not held back");
    } else {
        let bytes = rig.with_header(&NetHeader::default(), &plain(BROADCAST, 60));
        let at = rig.memory.place(&bytes);
        let driver = &mut queues.tx[usize::from(pair)];
        driver.add(&[Buffer::readable(at, bytes.len() as u32)]).expect("room in the ring");
        rig.kick(queue, driver);
        assert_eq!(queues.tx[usize::from(pair)].waiting(), before + 1, "buffers are not held back");
    }
    rig.port.take_interrupts().0
}

/// The driver takes what came back, and asks to be interrupted for what comes next.
pub(crate) fn take_all<D: RingDriver>(queues: &mut Queues<D>) {
    for ring in queues.rx.iter_mut().chain(&mut queues.tx) {
        while ring.used().is_some() {}
    }
}

// spec: NET-COAL-07
fn so_many_packets_are_one_interrupt<P: Port>() {
    for (queue, command) in [(0, COAL_RX_SET), (1, COAL_TX_SET)] {
        let (rig, mut queues) = rig::<P>();
        assert!(interrupts(&rig, &mut queues, queue), "nothing is held back at first");
        take_all(&mut queues);
        set(&rig, &mut queues, command, &delay(5, FOREVER));
        for _ in 0..3 {
            let held: Vec<_> = (0..5).map(|_| interrupts(&rig, &mut queues, queue)).collect();
            assert_eq!(held, [false, false, false, false, true]);
            take_all(&mut queues);
        }
        // Either of them zero is no delay.
        for none in [delay(0, FOREVER), delay(5, 0), delay(1, FOREVER), delay(0, 0)] {
            set(&rig, &mut queues, command, &none);
            for _ in 0..3 {
                assert!(interrupts(&rig, &mut queues, queue));
                take_all(&mut queues);
            }
        }
    }
}

fn an_interrupt_comes_when_the_time_is_over<P: Port>() {
    for (queue, command) in [(0, COAL_RX_SET), (1, COAL_TX_SET)] {
        let (rig, mut queues) = rig::<P>();
        set(&rig, &mut queues, command, &delay(1000, FOREVER));
        assert!(!interrupts(&rig, &mut queues, queue));
        assert!(rig.runtime.next_deadline().is_some(), "the task wants to be run by then");
        set(&rig, &mut queues, command, &delay(1000, 0));
        take_all(&mut queues);
        set(&rig, &mut queues, command, &delay(1000, 300));
        let mut interrupted = interrupts(&rig, &mut queues, queue);
        while !interrupted {
            rig.runtime.poll();
            interrupted = rig.port.take_interrupts().0;
        }
        take_all(&mut queues);
        assert_eq!(rig.runtime.next_deadline(), None, "nothing is held back any more");
    }
}

fn a_delay_that_becomes_shorter_is_over_at_once<P: Port>() {
    for (queue, command) in [(0, COAL_RX_SET), (1, COAL_TX_SET)] {
        let (rig, mut queues) = rig::<P>();
        set(&rig, &mut queues, command, &delay(15, FOREVER));
        assert!((0..10).all(|_| !interrupts(&rig, &mut queues, queue)));
        // What came back in the control queue is not asked about.
        queues.control.as_mut().unwrap().want(Wish::Never);
        let _ = rig.port.take_interrupts();
        assert_eq!(rig.order(&mut queues, command, &delay(8, FOREVER)), OK);
        assert!(rig.port.take_interrupts().0);
    }
}

fn queues_are_held_back_apart<P: Port>() {
    let (rig, mut queues) = rig::<P>();
    set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(1, 2, FOREVER));
    for _ in 0..3 {
        assert!(interrupts(&rig, &mut queues, 0));
        assert!(!interrupts(&rig, &mut queues, 1) && interrupts(&rig, &mut queues, 1));
        assert!(interrupts(&rig, &mut queues, 3));
        take_all(&mut queues);
    }
    set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(0, 3, FOREVER));
    set(&rig, &mut queues, COAL_TX_SET, &delay(0, 0));
    for _ in 0..3 {
        assert!(!interrupts(&rig, &mut queues, 0) && interrupts(&rig, &mut queues, 1));
        assert!(!interrupts(&rig, &mut queues, 0) && interrupts(&rig, &mut queues, 3));
        assert!(interrupts(&rig, &mut queues, 0));
        take_all(&mut queues);
    }
}

fn net_coal_01_what_is_reserved_is_ignored<P: Port>() {
    let (rig, mut queues) = rig::<P>();
    for junk in [[0xff, 0xff], [0, 1]] {
        let mut data = queue_delay(2, 7, 9);
        data[2..4].copy_from_slice(&junk);
        set(&rig, &mut queues, COAL_VQ_SET, &data);
        assert_eq!(get(&rig, &mut queues, 2), Some((7, 9)));
        set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(2, 0, 0));
    }
}

fn net_coal_02_the_last_command_counts<P: Port>() {
    let (rig, mut queues) = rig::<P>();
    let all = |rig: &Rig<P>, queues: &mut Queues<P::Driver>| [0, 1, 2, 3].map(|queue| get(rig, queues, queue).unwrap());
    assert_eq!(all(&rig, &mut queues), [(0, 0); 4]);
    set(&rig, &mut queues, COAL_RX_SET, &delay(1, 2));
    assert_eq!(all(&rig, &mut queues), [(1, 2), (0, 0), (1, 2), (0, 0)]);
    set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(0, 3, 4));
    assert_eq!(all(&rig, &mut queues), [(3, 4), (0, 0), (1, 2), (0, 0)]);
    set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(1, 5, 6));
    assert_eq!(all(&rig, &mut queues), [(3, 4), (5, 6), (1, 2), (0, 0)]);
    set(&rig, &mut queues, COAL_TX_SET, &delay(7, 8));
    assert_eq!(all(&rig, &mut queues), [(3, 4), (7, 8), (1, 2), (7, 8)]);
    // Commands that end early change nothing.
    for command in [COAL_TX_SET, COAL_RX_SET] {
        assert_eq!(rig.order(&mut queues, command, &delay(9, 9)[..7]), ERR);
    }
    assert_eq!(rig.order(&mut queues, COAL_VQ_SET, &queue_delay(0, 9, 9)[..11]), ERR);
    assert_eq!(all(&rig, &mut queues), [(3, 4), (7, 8), (1, 2), (7, 8)]);
}

fn net_coal_03_extremes_are_kept<P: Port>() {
    let (rig, mut queues) = rig::<P>();
    for extreme in [(u32::MAX, u32::MAX), (1, u32::MAX), (u32::MAX, 1)] {
        set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(1, extreme.0, extreme.1));
        set(&rig, &mut queues, COAL_RX_SET, &delay(extreme.0, extreme.1));
        assert_eq!([0, 1].map(|queue| get(&rig, &mut queues, queue)), [Some(extreme); 2]);
        for queue in [0, 1] {
            interrupts(&rig, &mut queues, queue);
        }
        take_all(&mut queues);
    }
}

// spec: DRV-NET-CTRL-14
fn net_coal_04_other_queues_have_no_delay<P: Port>() {
    // Without its last pair, the device has queues that are not enabled.
    let mut rig = Rig::<P>::with(Network::new(3), |builder| builder);
    assert!(rig.negotiate(DELAYS));
    let rx = vec![rig.enable(0, DELAYS), rig.enable(2, DELAYS)];
    let tx = vec![rig.enable(1, DELAYS)];
    let mut control = rig.enable(6, DELAYS);
    rig.go();
    let mut command = |bytes: &[u8]| {
        let (at, answer) = (rig.memory.place(bytes), rig.memory.place(&[UNTOUCHED; 9]));
        let buffers = [Buffer::readable(at, bytes.len() as u32), Buffer::writable(answer, 9)];
        control.add(&buffers).unwrap();
        rig.kick(6, &mut control);
        let used = control.used().expect("an answer");
        rig.memory.bytes(answer, used.len as usize)
    };
    for queue in [3, 4, 5, 6, 7, 0x8000, u16::MAX] {
        let set = [&[6, 2][..], &queue_delay(queue, 1, 1)].concat();
        assert_eq!(command(&set), [ERR], "{queue}");
        let get = [&[6, 3][..], &queue.to_le_bytes(), &[0, 0]].concat();
        assert_eq!(command(&get), [ERR], "{queue}");
    }
    for queue in [0, 1, 2] {
        assert_eq!(command(&[&[6, 2][..], &queue_delay(queue, 1, 1)].concat()), [OK]);
    }
    drop((rx, tx));
}

// spec: NET-COAL-06
fn net_coal_05_a_queue_that_is_enabled_again_has_the_delay_of_all<P: Port>() {
    let features = DELAYS | Features::RING_RESET;
    let mut rig = Rig::<P>::with(Network::new(2), |builder| builder);
    let mut queues = rig.live(features);
    let again = |rig: &Rig<P>, queues: &mut Queues<P::Driver>| {
        for queue in 0..4 {
            rig.port.reset_queue(queue);
            let place = usize::from(queue / 2);
            let driver = rig.enable(queue, features);
            *(if queue % 2 == 0 { &mut queues.rx[place] } else { &mut queues.tx[place] }) = driver;
        }
        rig.runtime.poll();
        [0, 1, 2, 3].map(|queue| get(rig, queues, queue).unwrap())
    };
    for queue in 0..4 {
        set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(queue, 2, FOREVER));
    }
    assert_eq!(again(&rig, &mut queues), [(0, 0); 4]);
    // What is said is what is done.
    assert!([0, 1, 3].iter().all(|queue| interrupts(&rig, &mut queues, *queue)));
    set(&rig, &mut queues, COAL_RX_SET, &delay(3, 30));
    set(&rig, &mut queues, COAL_TX_SET, &delay(4, 40));
    for queue in 0..4 {
        set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(queue, 5, 50));
    }
    assert_eq!(again(&rig, &mut queues), [(3, 30), (4, 40), (3, 30), (4, 40)]);
}

fn net_coal_08_who_wants_no_interrupt_gets_none<P: Port>() {
    for (queue, command) in [(0, COAL_RX_SET), (1, COAL_TX_SET)] {
        let (rig, mut queues) = rig::<P>();
        // The first interrupt of a queue comes in any case.
        assert!(interrupts(&rig, &mut queues, queue));
        take_all(&mut queues);
        set(&rig, &mut queues, command, &delay(3, FOREVER));
        let ring = if queue == 0 { &mut queues.rx[0] } else { &mut queues.tx[0] };
        ring.want(Wish::Never);
        assert!((0..10).all(|_| !interrupts(&rig, &mut queues, queue)));
        // Nor when the time is over.
        queues.control.as_mut().unwrap().want(Wish::Never);
        assert_eq!(rig.order(&mut queues, command, &delay(0, 0)), OK);
        assert!(!rig.port.take_interrupts().0);
    }
}

fn net_coal_09_a_reset_takes_all_delays_back<P: Port>() {
    let (mut rig, mut queues) = rig::<P>();
    set(&rig, &mut queues, COAL_RX_SET, &delay(10, FOREVER));
    set(&rig, &mut queues, COAL_TX_SET, &delay(10, FOREVER));
    set(&rig, &mut queues, COAL_VQ_SET, &queue_delay(1, 20, FOREVER));
    assert!(!interrupts(&rig, &mut queues, 1) && !interrupts(&rig, &mut queues, 0));
    rig.port.set_status(0);
    let mut queues = rig.live(DELAYS);
    assert_eq!([0, 1, 2, 3].map(|queue| get(&rig, &mut queues, queue)), [Some((0, 0)); 4]);
    assert!(interrupts(&rig, &mut queues, 1) && interrupts(&rig, &mut queues, 0));
}
