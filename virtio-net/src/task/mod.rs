//! The work of one pair of queues.

mod check;
mod control;
mod gather;
mod inspect;
mod mailbox;
mod receive;
mod transmit;

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::Level;
use virtio_core::task::CHAINS_PER_RUN;
use virtio_core::{Next, QueueTask, Quiesce, Source, Sources, TaskContext, Virtqueue};

use crate::backend::{Interest, NetQueue, RECEIVE, SEND};
use crate::plan::Plan;
use crate::shared::Shared;

pub(crate) use self::control::{ControlTask, IdleTask};
use self::inspect::Inspector;
pub(crate) use self::mailbox::Mailbox;
use self::receive::{Receiver, Step};
use self::transmit::{Outward, Sent, Transmitter};

/// Frames of a batch, after which the driver is shown what is complete.
const BATCH: u32 = 64;
/// Bytes of a batch.
const BATCH_BYTES: usize = 512 << 10;
/// Batches in each direction, in one run.
const BATCHES: u32 = 4;
/// How long to wait after the network has failed.
const RETRY: Duration = Duration::from_millis(200);

/// The token of what other tasks, and the embedder, wake this one for.
const WAKE: u8 = 2;

/// The queues of one pair, or one of them, and the network's end of the pair.
pub(crate) struct PairTask {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    /// Whether others know that `plan` is gone by.
    adopted: bool,
    pair: u16,
    queues: Vec<Virtqueue>,
    /// Where among them the receive queue is.
    rx: Option<usize>,
    tx: Option<usize>,
    engine: Option<Box<dyn NetQueue>>,
    /// Of the engine's sources, as they were named last.
    version: u64,
    interest: Interest,
    transmitter: Transmitter,
    receiver: Receiver,
    /// The network may have more than was taken from it.
    more: bool,
    /// The rate limit holds back what the network may have.
    throttled: bool,
    /// A pair has been handed so many frames that it has to take some first.
    crowded: Cell<Option<u16>>,
    /// When a network that has failed is tried again.
    retry: Option<Instant>,
    /// What the link was told last of whether somebody is at the network's other end.
    connected: Option<bool>,
    /// A frame waits for buffers.
    blocked: bool,
    /// Nevertheless the network woke the task: it is not waited for until there are buffers.
    stuck: bool,
}

/// What a run was told to come back for.
#[derive(Clone, Copy, Debug, Default)]
struct Wish {
    again: bool,
    until: Option<Instant>,
}

impl Wish {
    fn at(&mut self, time: Option<Instant>) {
        self.until = match (self.until, time) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
}

impl PairTask {
    /// `queues` are the pair's: the one to receive has an even number.
    pub(crate) fn new(shared: Arc<Shared>, pair: u16, queues: Vec<Virtqueue>) -> PairTask {
        let place = |odd| queues.iter().position(|queue| queue.index() % 2 == odd);
        let (rx, tx) = (place(0), place(1));
        if let (Some(mailbox), Some(wake)) =
            (shared.mailboxes.get(usize::from(pair)), shared.wakes.get(usize::from(pair)))
        {
            mailbox.open(wake.clone());
        }
        let plan = shared.plan();
        shared.adopted(pair, plan.version);
        shared.set_usable(pair, rx.is_some());
        let mut task = PairTask {
            shared,
            plan,
            adopted: true,
            pair,
            queues,
            rx,
            tx,
            engine: None,
            version: 0,
            interest: Interest::default(),
            transmitter: Transmitter::default(),
            receiver: Receiver::new(),
            more: true,
            throttled: false,
            crowded: Cell::new(None),
            retry: None,
            connected: None,
            blocked: false,
            stuck: false,
        };
        task.moderate();
        task
    }

    /// Goes by the newest plan.
    fn adopt(&mut self) {
        if self.adopted && self.shared.version() == self.plan.version {
            return;
        }
        self.plan = self.shared.plan();
        self.adopted = true;
        self.moderate();
        self.more = true;
        // Whoever waits for it may go on from here.
        self.shared.adopted(self.pair, self.plan.version);
    }

    fn moderate(&mut self) {
        for queue in &mut self.queues {
            queue.moderate(self.plan.moderation(queue.index()));
        }
    }

    fn is_active(&self) -> bool {
        self.pair < self.plan.pairs
    }

    fn receives(&self) -> bool {
        self.rx.and_then(|rx| self.queues.get(rx)).is_some_and(|queue| !queue.is_gone())
    }

    /// Opens the network's end of the pair while the pair is in use, on the thread that is to use it.
    fn open(&mut self) {
        if !self.is_active() {
            self.engine = None;
            self.retry = None;
            return;
        }
        if self.engine.is_some() || self.retry.is_some_and(|retry| Instant::now() < retry) {
            return;
        }
        self.retry = None;
        match self.shared.backend.open_queue(self.pair) {
            Ok(engine) => {
                self.version = engine.sources_version();
                self.engine = Some(engine);
                self.interest = Interest::default();
                self.more = true;
            }
            Err(error) => {
                let pair = self.pair;
                self.fail(format_args!("pair {pair} of the network cannot be opened: {error}"));
            }
        }
    }

    #[cold]
    fn fail(&mut self, line: std::fmt::Arguments<'_>) {
        if let Some(counters) = self.shared.counters.get(usize::from(self.pair)) {
            counters.rx_failed.add(1);
        }
        self.shared.log.log(Level::Warn, line);
        self.retry = Some(Instant::now() + RETRY);
    }

    /// Sends a batch.
    fn transmit(&mut self) -> Sent {
        let PairTask { shared, plan, pair, queues, tx, engine, transmitter, .. } = self;
        let queue = tx.and_then(|tx| queues.get_mut(tx));
        let (Some(queue), Some(counters)) = (queue, shared.counters.get(usize::from(*pair))) else {
            return Sent::default();
        };
        let engine = engine.as_mut().map(|engine| &mut **engine as &mut dyn NetQueue);
        let link_up = shared.is_link_up();
        let mut outward = Outward { plan, shared, counters, pair: *pair, engine, link_up };
        let sent = transmitter.batch(&mut outward, queue, BATCH, BATCH_BYTES);
        queue.publish();
        sent
    }

    /// Receives a batch; how many frames. What was received before goes first, then what other tasks have received for this one,
    /// then what the network has. Where frames are left, `wish` says what for.
    fn receive(&mut self, wish: &mut Wish) -> u32 {
        let usable = self.receives();
        let PairTask { shared, plan, pair, queues, rx, engine, receiver, more, throttled, crowded, retry, .. } = self;
        let place = usize::from(*pair);
        let (Some(counters), Some(mailbox)) = (shared.counters.get(place), shared.mailboxes.get(place)) else {
            return 0;
        };
        let own = usable && *pair < plan.pairs && plan.is_steered(shared.network_steers);
        let limit = shared.options.rx_rate.as_ref();
        let link_up = shared.is_link_up();
        let by = Inspector { plan, shared, counters, pair: *pair, usable, own, link_up, crowded, limit };
        let mut queue = rx.and_then(|rx| queues.get_mut(rx)).filter(|_| usable);
        let mut engine = engine.as_deref_mut().filter(|_| retry.is_none());
        let (mut frames, mut bytes, mut failure) = (0, 0, None);
        *throttled = false;
        while frames < BATCH && bytes < BATCH_BYTES {
            if !receiver.delivery.has_room_in_run(CHAINS_PER_RUN) {
                wish.again = true;
                break;
            }
            if let Some(until) = limit.and_then(|limit| limit.wait(Instant::now())) {
                counters.rx_throttled.add(1);
                wish.at(Some(until));
                *throttled = true;
                break;
            }
            if !receiver.delivery.is_waiting()
                && let Some(frame) = mailbox.pop()
            {
                receiver.delivery.take_in(frame);
            }
            let step = if receiver.delivery.is_waiting() {
                receiver.delivery.go_on(&by, queue.as_deref_mut())
            } else {
                if by.is_crowded() {
                    counters.rx_blocked.add(1);
                    break;
                }
                let Some(engine) = engine.as_deref_mut().filter(|_| *more) else { break };
                match receiver.receive(&by, queue.as_deref_mut(), engine) {
                    Ok(step) => {
                        *more = step != Step::Idle;
                        step
                    }
                    Err(error) => {
                        failure = Some(error);
                        break;
                    }
                }
            };
            match step {
                Step::Frame { len } => {
                    frames += 1;
                    bytes += len;
                }
                Step::Idle => break,
                Step::Blocked => {
                    counters.rx_blocked.add(1);
                    wish.at(receiver.delivery.deadline());
                    break;
                }
            }
        }
        if let Some(queue) = queue {
            queue.publish();
        }
        if let Some(error) = failure {
            let pair = *pair;
            self.fail(format_args!("pair {pair} of the network cannot receive: {error}"));
        }
        frames
    }

    fn count(&self, count: impl FnOnce(&crate::counters::Counters)) {
        self.shared.counters.get(usize::from(self.pair)).map(count);
    }

    /// What the network says of itself.
    fn look_at_network(&mut self, wish: &mut Wish) {
        if let Some(engine) = &self.engine {
            let connected = engine.is_connected();
            if self.pair == 0 && self.connected != Some(connected) {
                self.connected = Some(connected);
                self.shared.connect_link(connected);
            }
            // A frame that waits for buffers is in the way of what the network wants to be looked after for, as is all that
            // it is not asked for.
            if !self.receiver.delivery.is_waiting() && !self.is_held() {
                wish.at(engine.deadline());
            }
        }
        wish.at(self.retry);
    }

    /// Whether the network is left alone for now, whatever it has.
    fn is_held(&self) -> bool {
        self.throttled || self.crowded.get().is_some() || self.retry.is_some()
    }

    /// Says what to wait for, if that has changed.
    fn wait_for(&mut self, interest: Interest, cx: &mut TaskContext) {
        let version = self.engine.as_ref().map_or(0, |engine| engine.sources_version());
        if interest != self.interest || version != self.version {
            (self.interest, self.version) = (interest, version);
            cx.sources_changed();
        }
    }
}

impl QueueTask for PairTask {
    fn queues(&mut self) -> &mut [Virtqueue] {
        &mut self.queues
    }

    fn sources(&self, sources: &mut Sources) {
        if let Some(wake) = self.shared.wakes.get(usize::from(self.pair)) {
            sources.add(Source::Event(wake.clone()), WAKE);
        }
        if let Some(engine) = &self.engine {
            engine.sources(self.interest, sources);
        }
    }

    fn run(&mut self, cx: &mut TaskContext) -> Next {
        self.adopt();
        self.shared.set_usable(self.pair, self.receives());
        self.open();
        let due = self.engine.as_ref().and_then(|engine| engine.deadline()).is_some_and(|time| time <= Instant::now());
        if self.retry.is_some_and(|retry| retry <= Instant::now()) {
            self.retry = None;
            self.more = true;
        }
        self.more |= due || cx.is_ready(RECEIVE);
        if let Some(engine) = self.engine.as_mut().filter(|_| cx.is_ready(SEND)) {
            // What is left of an earlier batch.
            engine.flush();
        }
        self.receiver.delivery.begin_run();
        let mut wish = Wish::default();
        let mut sent = Sent::default();
        let mut left = BATCHES;
        let mut any = false;
        loop {
            if !sent.full && sent.until.is_none() {
                sent = self.transmit();
            } else {
                sent.frames = 0;
            }
            let received = self.receive(&mut wish);
            any |= received > 0;
            left -= 1;
            if sent.frames == 0 && received == 0 || wish.again {
                break;
            }
            if left == 0 {
                wish.again = true;
                break;
            }
        }
        wish.at(sent.until);
        self.look_at_network(&mut wish);
        for queue in &self.queues {
            wish.at(queue.interrupt_due());
        }
        // A file that is readable stays so while there is no room for what it has. That the driver soon gives buffers is
        // likelier, and costs nothing; but not twice.
        let blocked = self.receiver.delivery.is_waiting();
        self.stuck = blocked && (self.stuck || self.blocked && !any && cx.is_ready(RECEIVE));
        self.blocked = blocked;
        let interest = Interest { receive: !self.stuck && !self.is_held(), send: sent.full };
        self.wait_for(interest, cx);
        match wish {
            Wish { again: true, .. } => Next::Again,
            Wish { until: Some(until), .. } => Next::WaitUntil(until),
            Wish { .. } => Next::Wait,
        }
    }

    /// Nothing is ever in flight between runs. Until the next one, nothing happens that a plan has a say in.
    fn quiesce(&mut self, queue: u16, how: Quiesce) -> Next {
        if queue.is_multiple_of(2) {
            self.shared.set_usable(self.pair, false);
        }
        if how == Quiesce::Cancel
            && let Some(wake) = self.shared.wakes.get(usize::from(self.pair))
        {
            // NET-MQ-03: what waits for its buffers goes elsewhere.
            wake.signal();
        }
        self.receiver.delivery.rest();
        self.adopted = false;
        self.shared.rest(self.pair);
        Next::Done
    }

    fn queue_restarted(&mut self, queue: u16) {
        self.shared.forget_coalescing(queue);
        self.adopted = false;
    }
}

impl Drop for PairTask {
    fn drop(&mut self) {
        if self.receiver.delivery.abandon() {
            self.count(|counters| counters.rx_abandoned.add(1));
        }
        self.shared.set_usable(self.pair, false);
        self.engine = None;
        self.shared.rest(self.pair);
    }
}
