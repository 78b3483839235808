//! One suite of rules for every transport: what a driver can observe of a [`TestDevice`] behind a [`Port`].
//!
//! A transport implements [`Port`] in its tests and says `virtio_core::conformance_suite!(name: ItsPort);`: that makes the
//! module `name`, and in it `split` and `packed` with the tests of each layout. Most rules hold in both, and run in both. Each test carries
//! the id of the rule that it proves.

// The name of a rule is its documentation; the checklist has the text.
#[allow(missing_docs)]
mod basic;
#[allow(missing_docs)]
mod hostile;
#[allow(missing_docs)]
mod packed;
#[allow(missing_docs)]
mod packed_hostile;
#[allow(missing_docs)]
mod queue_reset;
#[allow(missing_docs)]
mod ring;
#[allow(missing_docs)]
mod split;
#[allow(missing_docs)]
mod split_hostile;
#[cfg(test)]
mod tests;

pub use basic::*;
pub use hostile::*;
pub use packed::*;
pub use packed_hostile::*;
pub use queue_reset::*;
pub use ring::*;
pub use split::*;
pub use split_hostile::*;

use std::marker::PhantomData;
use std::sync::Arc;

use super::{Buffer, RingDriver, SplitDriver, TestDevice, TestHandle, TestMemory};
use crate::device::StateError;
use crate::features::Features;
use crate::host::status::{ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK};
use crate::host::{DeviceHost, HostBuilder};
use crate::runtime::InlineRuntime;

/// A transport, and the layout of the rings of the driver in front of it.
pub trait RingPort: Port {
    /// The driver's side of a ring.
    type Driver: RingDriver;
}

/// What a driver can do to a transport: nothing but register accesses.
pub trait Port {
    /// What the transport saves.
    type State;
    /// The transport in front of a device.
    fn connect(host: HostBuilder) -> Self;
    /// The device's host, for what only the embedder sees.
    fn host(&self) -> &DeviceHost;
    /// Reads the status.
    fn status(&self) -> u8;
    /// Writes the status.
    fn set_status(&self, status: u8);
    /// Reads a word of the offered features.
    fn offered(&self, word: u32) -> u32;
    /// Writes a word of the driver's choice.
    fn accept(&self, word: u32, value: u32);
    /// Reads the configuration's generation.
    fn generation(&self) -> u32;
    /// Reads the configuration space.
    fn read_config(&self, offset: u64, data: &mut [u8]);
    /// Writes the configuration space.
    fn write_config(&self, offset: u64, data: &[u8]);
    /// Reads the largest size of a queue.
    fn queue_max(&self, queue: u16) -> u16;
    /// Writes the size and the areas of a queue.
    fn set_queue(&self, queue: u16, size: u16, areas: (u64, u64, u64));
    /// Enables a queue.
    fn enable(&self, queue: u16);
    /// Reads whether a queue is enabled.
    fn is_enabled(&self, queue: u16) -> bool;
    /// Resets a queue by itself.
    fn reset_queue(&self, queue: u16);
    /// Reads whether a reset of a queue goes on.
    fn is_resetting(&self, queue: u16) -> bool;
    /// Rings a queue's doorbell.
    fn notify(&self, queue: u16);
    /// Has interrupts wait until the next [`take_interrupts`](Self::take_interrupts), where they reach the driver at once
    /// otherwise: by a mask, where the transport has one.
    fn hold_interrupts(&self);
    /// Whether the driver was interrupted since the last call: for used buffers, for a change of configuration.
    fn take_interrupts(&self) -> (bool, bool);
    /// Saves the transport with its device.
    ///
    /// # Errors
    /// Those of [`DeviceHost::save`].
    fn save(&self) -> Result<Self::State, StateError>;
    /// Takes over a saved state.
    ///
    /// # Errors
    /// Those of [`DeviceHost::restore`].
    fn restore(&self, state: &Self::State) -> Result<(), StateError>;
}

/// A test device behind a port, with a driver's memory and rings of one layout, on a runtime that runs when told to.
pub struct World<P, D = SplitDriver> {
    /// The transport.
    pub port: P,
    /// Guest memory.
    pub memory: TestMemory,
    /// What runs the device.
    pub runtime: InlineRuntime,
    /// The device.
    pub device: TestHandle,
    /// What the device offers besides what every test device does.
    offered: Features,
    layout: PhantomData<D>,
}

/// The features that the suite's driver negotiates unless it says otherwise.
pub const USUAL: Features = Features::from_bits(
    Features::VERSION_1.bits() | Features::EVENT_IDX.bits() | Features::INDIRECT_DESC.bits() | TestDevice::ALPHA.bits(),
);

impl<P: Port, D: RingDriver> World<P, D> {
    /// A device with two queues of the layout.
    #[must_use]
    pub fn new() -> World<P, D> {
        World::offering(Features::NONE)
    }

    /// The same, with features of rings that are not offered otherwise.
    #[must_use]
    pub fn offering(features: Features) -> World<P, D> {
        let (memory, runtime) = (TestMemory::new(1 << 20), InlineRuntime::new());
        let offered = D::LAYOUT | features;
        let (host, device) = host(&memory, &runtime, offered);
        World { port: P::connect(host), memory, runtime, device, offered, layout: PhantomData }
    }

    /// Another device of the kind, on the same memory and runtime.
    pub fn another(&self) -> (HostBuilder, TestHandle) {
        host(&self.memory, &self.runtime, self.offered)
    }

    /// Chooses features as a driver does, that of the layout among them, up to FEATURES_OK; whether it was accepted.
    pub fn negotiate(&self, features: Features) -> bool {
        let features = features | D::LAYOUT;
        self.port.set_status(ACKNOWLEDGE);
        self.port.set_status(ACKNOWLEDGE | DRIVER);
        for word in 0..4 {
            self.port.accept(word, features.word(word));
        }
        self.port.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        self.port.status() & FEATURES_OK != 0
    }

    /// Sets up queue `queue` and enables it.
    pub fn enable(&self, queue: u16, size: u16, features: Features) -> D {
        let driver = D::new(&self.memory, size, features);
        self.port.set_queue(queue, size, driver.areas());
        self.port.enable(queue);
        driver
    }

    /// Says DRIVER_OK.
    pub fn go(&self) {
        self.port.set_status(self.port.status() | DRIVER_OK);
        self.runtime.poll();
    }

    /// Brings the device to life with one queue of 16; returns that.
    pub fn live(&self, features: Features) -> D {
        assert!(self.negotiate(features), "the features are accepted");
        let driver = self.enable(0, 16, features);
        assert!(self.port.is_enabled(0), "the queue is enabled");
        self.go();
        driver
    }

    /// Adds a request that copies `bytes`, and publishes it; where the answer will be.
    pub fn request(&self, driver: &mut D, bytes: &[u8]) -> u64 {
        let from = self.memory.place(bytes);
        let to = self.memory.alloc(bytes.len() as u64, 1);
        let len = bytes.len() as u32;
        driver.add(&[Buffer::readable(from, len), Buffer::writable(to, len)]).expect("free descriptors");
        driver.show();
        to
    }

    /// Rings the doorbell of queue 0 and lets the device work.
    pub fn kick(&self) {
        self.port.notify(0);
        self.runtime.poll();
    }

    /// A request and its answer through queue 0: whether it came back right.
    pub fn echoes(&self, driver: &mut D) -> bool {
        let to = self.request(driver, b"echo");
        self.kick();
        driver.used().is_some_and(|used| used.len == 4) && self.memory.bytes(to, 4) == b"echo"
    }

    /// The same with a table, for which one free descriptor is enough.
    pub fn echoes_indirectly(&self, driver: &mut D) -> bool {
        let (from, to) = (self.memory.place(b"echo"), self.memory.alloc(4, 1));
        driver.add_indirect(&[Buffer::readable(from, 4), Buffer::writable(to, 4)]).expect("a free descriptor");
        driver.show();
        self.kick();
        driver.used().is_some_and(|used| used.len == 4) && self.memory.bytes(to, 4) == b"echo"
    }

    /// The device's count of interrupts for queue 0.
    pub fn interrupts(&self) -> u64 {
        self.port.host().queue_counts(0).map_or(0, |counts| counts.interrupts)
    }

    /// Whether the device asks for a reset, and has said so by an interrupt.
    pub fn is_broken(&self) -> bool {
        self.port.status() & crate::host::status::NEEDS_RESET != 0 && self.port.take_interrupts().1
    }

    /// After a fault: a reset recovers the device.
    pub fn recovers(&self) -> bool {
        self.port.set_status(0);
        self.port.status() == 0 && self.echoes(&mut self.live(USUAL))
    }
}

impl<P: Port, D: RingDriver> Default for World<P, D> {
    fn default() -> World<P, D> {
        World::new()
    }
}

fn host(memory: &TestMemory, runtime: &InlineRuntime, offered: Features) -> (HostBuilder, TestHandle) {
    let (device, handle) = TestDevice::new(2);
    let host = DeviceHost::builder(device, memory.ram().clone(), Arc::new(runtime.clone()))
        .with(offered)
        .reset_wait(std::time::Duration::from_millis(1))
        .reset_limit(std::time::Duration::from_millis(20));
    (host, handle)
}

/// Makes the suite's tests for a [`Port`], in a module: `conformance_suite!(name: ItsPort);`.
#[macro_export]
macro_rules! conformance_suite {
    ($name:ident: $port:ty) => {
        mod $name {
            use super::*;

            type SuitePort = $port;

            $crate::conformance_tests! {
                both {
                    basic_status_01_no_buffer_is_taken_before_driver_ok,
                    basic_status_02_no_interrupt_before_driver_ok,
                    basic_status_03_a_corrupt_ring_sets_needs_reset,
                    basic_status_05_status_reads_zero_at_the_start_and_after_reset,
                    basic_feat_01_offered_features_have_what_they_depend_on,
                    basic_feat_02_any_consistent_subset_is_accepted,
                    basic_feat_03_an_unacceptable_choice_leaves_features_ok_clear,
                    basic_feat_04_nothing_unknown_is_offered,
                    basic_feat_05_a_choice_is_accepted_again_after_reset,
                    basic_feat_06_the_choice_is_frozen_by_features_ok,
                    basic_reset_01_reset_from_every_state,
                    basic_reset_02_nothing_is_touched_after_reset,
                    basic_reset_02_nothing_is_pending_after_reset,
                    basic_reset_02_a_stubborn_request_holds_the_reset_and_status_never_lies,
                    basic_cfg_01_config_is_readable_before_features_ok,
                    basic_cfg_02_config_is_little_endian_bytes_at_any_width,
                    basic_cfg_03_generation_moves_when_a_read_may_tear,
                    basic_notf_01_a_config_change_interrupts,
                    basic_notf_03_doorbells_without_buffers_do_nothing,
                    feat_rsvd_01_version_1_is_offered,
                    feat_rsvd_02_version_1_is_needed,
                    pause_and_resume_lose_nothing,
                    any_subset_of_queues_may_be_enabled,
                    removal_while_requests_are_in_flight,
                    a_device_that_cannot_start_asks_for_a_reset,
                    a_saved_device_goes_on_elsewhere,
                    a_corrupt_snapshot_is_refused,
                    a_device_in_use_is_not_restored_onto,
                    ring_split_02_readable_buffers_are_not_written,
                    ring_split_03_writable_buffers_are_not_read,
                    ring_split_07_len_never_exceeds_what_was_written,
                    ring_split_11_published_buffers_need_no_doorbell_while_awake,
                    a_queue_that_was_served_comes_to_rest,
                    ring_frame_01_any_framing_gives_the_same_answer,
                    ring_frame_02_chains_up_to_the_queue_size,
                    ring_evt_10_avail_event_postpones_doorbells_without_a_stall,
                    ring_evt_11_spurious_doorbells_do_nothing,
                    ring_packed_02_chains_are_processed_in_the_order_of_the_ring,
                    ring_packed_03_buffers_come_back_in_the_order_of_completion,
                    feat_rsvd_05_in_order_buffers_come_back_as_they_were_made_available,
                    in_order_buffers_that_are_not_full_keep_their_length,
                    drv_status_01_driver_ok_without_features_ok_does_not_go_live,
                    drv_status_02_bits_left_out_are_kept,
                    drv_status_03_use_after_failed_does_no_harm,
                    drv_status_04_the_driver_cannot_set_needs_reset,
                    drv_feat_01_features_that_were_not_offered_are_refused,
                    drv_feat_02_features_without_their_prerequisite_are_refused,
                    drv_feat_03_reserved_features_are_refused,
                    drv_cfg_01_reads_past_the_end_give_zero,
                    drv_init_01_a_driver_that_does_not_reset_first,
                    drv_init_02_features_written_after_features_ok_are_ignored,
                    drv_init_04_a_doorbell_before_driver_ok_is_picked_up,
                    drv_cleanup_02_buffers_that_go_away_while_live,
                    drv_ring_01_misaligned_areas_are_refused,
                    drv_ring_02_areas_outside_memory_are_refused,
                    drv_ring_03_readable_after_writable,
                    drv_ring_05_more_than_four_gib,
                    drv_ring_11_zero_length_buffers,
                    drv_ind_01_indirect_without_the_feature,
                    drv_ind_05_table_lengths,
                    drv_pci_18_floods_of_doorbells_are_bounded,
                    areas_that_go_away_break_the_ring,
                    a_broken_queue_leaves_the_others_running,
                    basic_vqreset_01_nothing_is_done_or_told_after_a_queue_reset,
                    basic_vqreset_02_a_queue_that_is_enabled_again_starts_anew,
                    basic_vqreset_03_a_queue_is_enabled_again_with_other_sizes_and_addresses,
                    basic_vqreset_01_reset_and_enabled_before_the_task_has_seen_it,
                    pci_common_13_a_stubborn_request_holds_the_queue_reset,
                    basic_reset_01_a_device_reset_ends_a_queue_reset,
                    drv_vqreset_01_the_memory_of_a_queue_that_was_reset_is_the_drivers,
                    drv_vqreset_02_a_queue_cannot_be_enabled_again_where_there_is_no_memory,
                    drv_pci_10_without_the_feature_a_queue_reset_is_ignored,
                    drv_vqreset_02_queues_that_were_never_enabled_stay_so,
                    basic_vqreset_02_a_queue_is_reset_before_driver_ok,
                    basic_vqreset_03_a_broken_queue_is_reset,
                    a_queue_is_reset_and_enabled_while_paused,
                    a_queue_that_is_reset_is_saved_and_enabled_elsewhere,
                    a_state_with_a_queue_that_cannot_have_been_reset_is_refused,
                }
                split {
                    ring_split_01_sizes_are_powers_of_two,
                    ring_split_05_descriptors_are_not_written,
                    ring_split_06_elements_come_before_the_index,
                    ring_split_10_the_used_index_counts_on_and_wraps,
                    ring_ind_01_write_on_an_indirect_descriptor_is_ignored,
                    ring_ind_02_direct_descriptors_followed_by_a_table,
                    ring_ind_03_tables_in_any_order,
                    ring_evt_01_without_event_idx_used_event_has_no_say,
                    ring_evt_02_without_event_idx_the_flag_suppresses,
                    ring_evt_04_with_event_idx_the_flag_has_no_say,
                    ring_evt_05_crossing_used_event_interrupts,
                    ring_evt_06_other_positions_stay_silent,
                    ring_evt_07_without_event_idx_used_flags_is_zero_or_one,
                    ring_evt_09_with_event_idx_used_flags_stays_zero,
                    ring_inorder_01_one_element_for_a_batch,
                    drv_cleanup_01_a_descriptor_changed_while_in_flight,
                    drv_ring_05_a_loop,
                    drv_ring_06_next_out_of_range,
                    drv_ring_08_the_index_jumps,
                    drv_ring_09_head_out_of_range,
                    drv_ring_10_the_same_head_twice,
                    drv_ind_02_a_table_in_a_table,
                    drv_ind_03_a_chain_longer_than_the_queue,
                    drv_ind_04_indirect_with_next,
                    drv_ind_05_of_a_huge_table_only_what_is_used_counts,
                    drv_ind_06_next_beyond_the_table,
                    drv_ring_07_in_order_next_need_not_be_sequential,
                    drv_ind_07_in_order_tables_need_not_be_sequential,
                    drv_evt_01_odd_flags,
                    drv_evt_02_used_event_out_of_reach,
                    drv_evt_03_the_driver_overwrites_the_used_ring,
                }
                packed {
                    ring_packed_07_nothing_is_taken_before_avail_changes,
                    ring_packed_08_used_descriptors_stay_as_they_are,
                    ring_packed_11_the_wrap_counter_starts_at_one_and_changes_at_the_end,
                    ring_packed_12_write_says_whether_anything_was_written,
                    ring_packed_14_a_list_is_used_by_one_descriptor_and_skipped,
                    ring_packed_17_sizes_need_not_be_powers_of_two,
                    ring_ind_04_in_a_table_only_write_counts,
                    ring_ind_05_write_on_an_indirect_descriptor_is_ignored,
                    ring_evt_14_the_drivers_flags_enable_and_disable,
                    ring_evt_15_the_descriptor_asked_for_interrupts,
                    ring_evt_15_other_descriptors_stay_silent,
                    ring_evt_16_without_event_idx_the_devices_flags_are_zero_or_one,
                    ring_evt_16_with_event_idx_the_device_asks_for_the_next_descriptor,
                    ring_inorder_02_one_descriptor_for_a_batch,
                    basic_vqreset_02_a_packed_queue_starts_at_slot_0_with_wrap_counter_1,
                    drv_packed_02_descriptors_changed_while_in_flight,
                    drv_packed_02_slots_in_flight_made_available_again,
                    drv_packed_03_flags_of_another_lap_make_nothing_available,
                    drv_packed_03_what_was_never_filled_is_answered_once,
                    drv_packed_05_next_on_every_descriptor,
                    drv_packed_05_a_list_longer_than_what_is_free,
                    drv_packed_07_the_first_descriptor_before_the_rest,
                    drv_packed_10_tables_up_to_1024_entries,
                    drv_packed_11_indirect_in_a_list,
                    drv_packed_12_ids_are_echoed_whatever_they_are,
                    drv_packed_13_whatever_a_descriptor_says_is_checked,
                    drv_evt_01_reserved_event_flags_suppress_nothing,
                    drv_evt_02_an_event_beyond_the_ring,
                    drv_evt_03_the_driver_overwrites_the_devices_area,
                }
            }
        }
    };
}

/// One test for each named function of the suite and each layout that it is about.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    (both { $($both:ident,)* } split { $($split:ident,)* } packed { $($packed:ident,)* }) => {
        mod split {
            $crate::conformance_tests!(SplitDriver: $($both,)* $($split,)*);
        }

        mod packed {
            $crate::conformance_tests!(PackedDriver: $($both,)* $($packed,)*);
        }
    };
    ($driver:ident: $($name:ident,)*) => {$(
        #[test]
        fn $name() {
            use $crate::testing::{$driver, suite};
            suite::$name(&suite::World::<super::SuitePort, $driver>::new());
        }
    )*};
}
