//! What a device, its handles and its tasks have in common.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use virtio_core::ring::{QueueCounters, QueueCounts};
use virtio_core::{ConfigSpace, Event, Features, LogLimit, RateLimit};

use crate::MacAddress;
use crate::backend::{Configuration, NetBackend};
use crate::control::{self, Answer, Effect};
use crate::counters::Counters;
use crate::features;
use crate::flows::Flows;
use crate::plan::Plan;
use crate::settings::{Limits, Settings};
use crate::statistics::Told;
use crate::task::Mailbox;
use crate::wire::{field, put, status as bit};

pub(crate) struct Shared {
    pub(crate) backend: Arc<dyn NetBackend>,
    /// As the network says.
    pub(crate) network_steers: bool,
    pub(crate) config: ConfigSpace,
    /// The address that the device has after a reset.
    pub(crate) mac: MacAddress,
    pub(crate) mtu: Option<u16>,
    pub(crate) limits: Limits,
    pub(crate) options: Options,
    /// One for each pair, as all lists here; and behind them one for the control queue.
    pub(crate) counters: Box<[Counters]>,
    /// What has to be added to what was counted for what a driver is told, where the device has been restored.
    pub(crate) base: Mutex<Told>,
    /// Those of the queues, by their indexes, once they were enabled.
    queue_counters: Mutex<BTreeMap<u16, Arc<QueueCounters>>>,
    pub(crate) mailboxes: Box<[Mailbox]>,
    pub(crate) flows: Flows,
    /// For what a driver can cause.
    pub(crate) log: LogLimit,
    /// Whether the receive queue takes frames.
    usable: Box<[AtomicBool]>,
    /// Signalled for what concerns the task of a pair: frames in its mailbox, another plan.
    pub(crate) wakes: Box<[Event]>,
    /// The version of the plan that the task goes by; [`AT_REST`] where it does nothing before it has taken over the newest.
    adopted: Box<[AtomicU64]>,
    /// Signalled for the control queue's task, when another has adopted a plan.
    pub(crate) control_wake: Event,
    driven: Mutex<Driven>,
    /// As the plan in `driven` has it.
    version: AtomicU64,
    link: Mutex<Link>,
    /// As the configuration space says.
    link_up: AtomicBool,
}

/// Stands for all versions of a plan.
const AT_REST: u64 = u64::MAX;

/// What the embedder chose.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) rx_rate: Option<RateLimit>,
    pub(crate) tx_rate: Option<RateLimit>,
}

/// What the driver chose.
struct Driven {
    features: Features,
    settings: Settings,
    plan: Arc<Plan>,
}

/// What the state of the link depends on.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// The embedder wants it up.
    wanted: bool,
    /// The network has somebody at its other end.
    connected: bool,
}

/// What became of a command.
pub(crate) struct Executed {
    /// What goes to the driver.
    pub(crate) answer: Vec<u8>,
    /// Why it failed, if it did.
    pub(crate) refusal: Option<String>,
    /// The plan that has to be gone by before the driver is answered.
    pub(crate) version: Option<u64>,
}

/// What a device is made of.
pub(crate) struct Parts {
    pub(crate) backend: Arc<dyn NetBackend>,
    pub(crate) config: ConfigSpace,
    pub(crate) mac: MacAddress,
    pub(crate) mtu: Option<u16>,
    pub(crate) limits: Limits,
    pub(crate) options: Options,
}

impl Shared {
    /// # Errors
    /// Those of making events.
    pub(crate) fn new(parts: Parts) -> std::io::Result<Shared> {
        let Parts { backend, config, mac, mtu, limits, options } = parts;
        let pairs = usize::from(limits.max_pairs);
        let settings = Settings::initial(Features::NONE, mac);
        let plan = Arc::new(Plan::new(0, Features::NONE, &settings, mtu));
        Ok(Shared {
            network_steers: backend.capabilities().steers,
            backend,
            config,
            mac,
            mtu,
            limits,
            options,
            counters: (0..=pairs).map(|_| Counters::default()).collect(),
            base: Mutex::default(),
            queue_counters: Mutex::default(),
            mailboxes: (0..pairs).map(|_| Mailbox::default()).collect(),
            flows: Flows::new(),
            log: LogLimit::default(),
            usable: (0..pairs).map(|_| AtomicBool::new(false)).collect(),
            wakes: (0..pairs).map(|_| Event::new()).collect::<Result<_, _>>()?,
            adopted: (0..pairs).map(|_| AtomicU64::new(AT_REST)).collect(),
            control_wake: Event::new()?,
            driven: Mutex::new(Driven { features: Features::NONE, settings, plan }),
            version: AtomicU64::new(0),
            link: Mutex::new(Link { wanted: true, connected: true }),
            link_up: AtomicBool::new(true),
        })
    }

    fn driven(&self) -> MutexGuard<'_, Driven> {
        self.driven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The driver has chosen features, or there is none any more: all that it had set is forgotten.
    pub(crate) fn start_anew(&self, features: Features) {
        let mut driven = self.driven();
        driven.features = features;
        driven.settings = Settings::initial(features, self.mac);
        self.make_plan(&mut driven);
        drop(driven);
        self.flows.forget();
        self.show(self.mac, false);
    }

    /// What the driver has set.
    pub(crate) fn settings(&self) -> Settings {
        self.driven().settings.clone()
    }

    pub(crate) fn features(&self) -> Features {
        self.driven().features
    }

    /// Takes over settings that were saved.
    pub(crate) fn restore(&self, settings: Settings, announcing: bool) {
        let mut driven = self.driven();
        let mac = settings.mac;
        driven.settings = settings;
        self.make_plan(&mut driven);
        drop(driven);
        self.show(mac, announcing);
    }

    /// Has a command of the driver executed, and does what it asks of the network and the configuration space. With a version,
    /// it is complete when all tasks go by that.
    pub(crate) fn command(&self, execute: impl FnOnce(Features, &mut Settings) -> Answer) -> Executed {
        let mut driven = self.driven();
        let mut settings = driven.settings.clone();
        let Answer { outcome, bytes: answer } = execute(driven.features, &mut settings);
        let effect = match outcome {
            Ok(effect) => effect,
            Err(refusal) => return self.refused(answer, refusal.to_string()),
        };
        let version = match effect {
            Effect::None => None,
            Effect::Announced => {
                self.announced();
                None
            }
            effect => {
                let wanted = configuration(driven.features, &settings);
                if wanted != configuration(driven.features, &driven.settings)
                    && let Err(error) = self.backend.configure(&wanted)
                {
                    let ack = answer.first().map(|_| control::ERR);
                    return self.refused(ack.into_iter().collect(), format!("the network: {error}"));
                }
                if effect == Effect::Mac {
                    let mac = settings.mac.0;
                    self.config.store(|bytes| put(bytes, field::MAC, &mac));
                }
                driven.settings = settings;
                Some(self.make_plan(&mut driven))
            }
        };
        self.control_counters(|counters| counters.commands.add(1));
        Executed { answer, refusal: None, version }
    }

    #[cold]
    fn refused(&self, answer: Vec<u8>, why: String) -> Executed {
        self.control_counters(|counters| counters.commands_refused.add(1));
        Executed { answer, refusal: Some(why), version: None }
    }

    /// The control queue's task counts beside those of the pairs.
    fn control_counters(&self, count: impl FnOnce(&Counters)) {
        self.counters.last().map(count);
    }

    /// A queue was reset and enabled again: NET-COAL-05, NET-COAL-06.
    pub(crate) fn forget_coalescing(&self, queue: u16) {
        let mut driven = self.driven();
        driven.settings.coalescing.forget(queue);
        self.make_plan(&mut driven);
    }

    /// Has the network do what the driver wants.
    ///
    /// # Errors
    /// Those of the network.
    pub(crate) fn configure_network(&self) -> std::io::Result<()> {
        let driven = self.driven();
        self.backend.configure(&configuration(driven.features, &driven.settings))
    }

    /// The device is reset, and has no tasks: what they have handed to one another is lost.
    pub(crate) fn close_mailboxes(&self) {
        let lost: usize = self.mailboxes.iter().map(Mailbox::close).sum();
        self.control_counters(|counters| counters.rx_abandoned.add(lost as u64));
    }

    /// What a queue counts.
    pub(crate) fn know_queue(&self, index: u16, counters: Arc<QueueCounters>) {
        self.queue_counters.lock().unwrap_or_else(PoisonError::into_inner).insert(index, counters);
    }

    pub(crate) fn queue_counts(&self, index: u16) -> QueueCounts {
        let counters = self.queue_counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.get(&index).map(|counters| counters.read()).unwrap_or_default()
    }

    fn make_plan(&self, driven: &mut Driven) -> u64 {
        let version = driven.plan.version + 1;
        driven.plan = Arc::new(Plan::new(version, driven.features, &driven.settings, self.mtu));
        self.version.store(version, SeqCst);
        self.wakes.iter().for_each(Event::signal);
        version
    }

    /// The newest plan.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.driven().plan)
    }

    /// Its version.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(SeqCst)
    }

    /// The task of a pair goes by this version of the plan.
    pub(crate) fn adopted(&self, pair: u16, version: u64) {
        if let Some(adopted) = self.adopted.get(usize::from(pair)) {
            adopted.store(version, SeqCst);
            self.control_wake.signal();
        }
    }

    /// The task of a pair does nothing before it has adopted the newest plan, or there is none.
    pub(crate) fn rest(&self, pair: u16) {
        self.adopted(pair, AT_REST);
    }

    /// Whether no task goes by an older plan.
    pub(crate) fn is_adopted(&self, version: u64) -> bool {
        self.adopted.iter().all(|adopted| adopted.load(SeqCst) >= version)
    }

    /// Says whether a pair's receive queue takes frames.
    pub(crate) fn set_usable(&self, pair: u16, usable: bool) {
        if let Some(place) = self.usable.get(usize::from(pair)) {
            place.store(usable, SeqCst);
        }
    }

    pub(crate) fn is_usable(&self, pair: u16) -> bool {
        self.usable.get(usize::from(pair)).is_some_and(|usable| usable.load(SeqCst))
    }

    /// Whether frames go through.
    #[inline]
    pub(crate) fn is_link_up(&self) -> bool {
        self.link_up.load(SeqCst)
    }

    /// What the embedder wants of the link.
    pub(crate) fn want_link(&self, up: bool) {
        self.change_link(|link| link.wanted = up);
    }

    /// Whether the network has somebody at its other end.
    pub(crate) fn connect_link(&self, connected: bool) {
        self.change_link(|link| link.connected = connected);
    }

    /// The driver is interrupted if it is another state.
    fn change_link(&self, change: impl FnOnce(&mut Link)) {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut link);
        let up = link.wanted && link.connected;
        self.link_up.store(up, SeqCst);
        // With the lock, so that the last change is the last to be shown.
        self.config.update(|bytes| change_status(bytes, |status| with(status, bit::LINK_UP, up)));
    }

    /// Asks the driver to announce itself; whether it can.
    pub(crate) fn announce(&self) -> bool {
        let can = self.features().contains(features::GUEST_ANNOUNCE);
        if can {
            self.config.update(|bytes| change_status(bytes, |status| status | bit::ANNOUNCE));
        }
        can
    }

    /// NET-CTRL-ANN-01: the driver will.
    pub(crate) fn announced(&self) {
        self.config.store(|bytes| change_status(bytes, |status| status & !bit::ANNOUNCE));
    }

    /// Whether the driver was asked to announce itself, and has not said that it will.
    pub(crate) fn is_announcing(&self) -> bool {
        let mut announcing = false;
        self.config.store(|bytes| {
            change_status(bytes, |status| {
                announcing = status & bit::ANNOUNCE != 0;
                status
            });
        });
        announcing
    }

    /// NET-CTRL-MAC-03: what the driver brought about, or a reset: it is not interrupted.
    pub(crate) fn show(&self, mac: MacAddress, announcing: bool) {
        self.config.store(|bytes| {
            put(bytes, field::MAC, &mac.0);
            change_status(bytes, |status| with(status, bit::ANNOUNCE, announcing));
        });
    }
}

fn with(status: u16, bit: u16, set: bool) -> u16 {
    if set { status | bit } else { status & !bit }
}

fn change_status(bytes: &mut [u8], change: impl FnOnce(u16) -> u16) {
    let status = bytes.get(field::STATUS).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes);
    put(bytes, field::STATUS, &change(status).to_le_bytes());
}

/// What the network has to know of what the driver has set.
fn configuration(features: Features, settings: &Settings) -> Configuration {
    Configuration {
        receive: settings.receive_offloads(),
        transmit: features::transmit_offloads(features),
        pairs: settings.pairs,
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("mac", &self.mac)
            .field("pairs", &self.limits.max_pairs)
            .field("link_up", &self.is_link_up())
            .finish_non_exhaustive()
    }
}
