//! Tests of the power registers, the reset line and the escape key.

use std::sync::Arc;

use vm_device::DevicePio;
use vm_device::bus::PioAddress;

use super::console::Keys;
use super::keyboard::Keyboard;
use super::power::{Power, RESET, RESET_VALUE, SLEEP_CONTROL};
use crate::layout::{I8042_PORTS, POWER_PORTS};
use crate::stop::{Ending, Stop};

fn power() -> (Power, Arc<Stop>) {
    let stop = Arc::new(Stop::new().unwrap());
    (Power::new(stop.clone()), stop)
}

#[test]
fn soft_off_ends_the_machine() {
    let (power, stop) = power();
    let base = PioAddress(POWER_PORTS);
    // Another sleep type, and the type without the enable bit, do nothing.
    power.pio_write(base, SLEEP_CONTROL, &[(1 << 5) | (3 << 2)]);
    power.pio_write(base, SLEEP_CONTROL, &[5 << 2]);
    assert!(!stop.requested());
    power.pio_write(base, SLEEP_CONTROL, &[(1 << 5) | (5 << 2)]);
    assert!(matches!(stop.wait(), Ending::PowerOff));
}

#[test]
fn reset_ends_the_machine() {
    let (power, stop) = power();
    let base = PioAddress(POWER_PORTS);
    power.pio_write(base, RESET, &[0]);
    power.pio_write(base, RESET, &[RESET_VALUE, 0]);
    assert!(!stop.requested());
    power.pio_write(base, RESET, &[RESET_VALUE]);
    assert!(matches!(stop.wait(), Ending::Reset));
}

#[test]
fn the_keyboard_controller_resets() {
    let stop = Arc::new(Stop::new().unwrap());
    let keyboard = Keyboard::new(stop.clone());
    let base = PioAddress(I8042_PORTS);
    keyboard.pio_write(base, 0, &[0xfe]);
    keyboard.pio_write(base, 4, &[0xed]);
    assert!(!stop.requested());
    keyboard.pio_write(base, 4, &[0xfe]);
    assert!(matches!(stop.wait(), Ending::Reset));
}

#[test]
fn the_first_reason_counts() {
    let stop = Stop::new().unwrap();
    stop.request(Ending::PowerOff);
    stop.request(Ending::Reset);
    assert!(matches!(stop.wait(), Ending::PowerOff));
}

#[test]
fn the_escape_key_is_not_for_the_guest() {
    let mut keys = Keys::default();
    assert_eq!(keys.filter(b"ls\r"), b"ls\r");
    assert_eq!(keys.filter(b"a\x01"), b"a");
    assert_eq!(keys.filter(b"\x01b"), b"\x01b");
    assert!(!keys.quit);
    assert_eq!(keys.filter(b"c\x01x"), b"c");
    assert!(keys.quit);
}
