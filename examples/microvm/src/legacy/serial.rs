//! COM1: what the guest prints goes to a writer, what comes in waits until the guest takes it.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};
use vm_superio::serial::SerialEvents;
use vm_superio::{Serial, Trigger};

use virtio_core::InterruptLine;

use crate::irq::line::EdgeLine;

/// How long to wait for a guest that does not say when it has taken the input (it may be in loop-back mode).
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The interrupt line as the UART model wants it.
pub(crate) struct Interrupt(EdgeLine);

impl Trigger for Interrupt {
    type E = std::convert::Infallible;

    fn trigger(&self) -> Result<(), Self::E> {
        self.0.set(true);
        Ok(())
    }
}

/// Wakes the input when the guest has emptied the receive buffer.
pub(crate) struct Emptied(Arc<Condvar>);

impl SerialEvents for Emptied {
    fn buffer_read(&self) {}
    fn out_byte(&self) {}
    fn tx_lost_byte(&self) {}
    fn in_buffer_empty(&self) {
        self.0.notify_all();
    }
}

/// The UART.
pub(crate) struct Com1<W: Write + Send> {
    uart: Mutex<Serial<Interrupt, Emptied, W>>,
    emptied: Arc<Condvar>,
}

impl<W: Write + Send> Com1<W> {
    /// A UART that prints to `output`.
    pub(crate) fn new(line: EdgeLine, output: W) -> Self {
        let emptied = Arc::new(Condvar::new());
        Self { uart: Mutex::new(Serial::with_events(Interrupt(line), Emptied(emptied.clone()), output)), emptied }
    }

    fn uart(&self) -> MutexGuard<'_, Serial<Interrupt, Emptied, W>> {
        self.uart.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `input` to the guest. Blocks while the guest does not take it.
    pub(crate) fn receive(&self, mut input: &[u8]) {
        let mut uart = self.uart();
        while !input.is_empty() {
            let room = uart.fifo_capacity().min(input.len());
            let (now, _) = input.split_at(room);
            match uart.enqueue_raw_bytes(now) {
                Ok(taken) if taken > 0 => input = input.get(taken..).unwrap_or_default(),
                _ => {
                    (uart, _) = self.emptied.wait_timeout(uart, LOOK_AGAIN).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl<W: Write + Send> DevicePio for Com1<W> {
    fn pio_read(&self, _base: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        if let ([byte], Ok(offset)) = (data, u8::try_from(offset)) {
            *byte = self.uart().read(offset);
        }
    }

    fn pio_write(&self, _base: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        let Ok(offset) = u8::try_from(offset) else {
            return;
        };
        let mut uart = self.uart();
        for byte in data {
            if uart.write(offset, *byte).is_err() {
                log::debug!("console output lost");
            }
        }
    }
}
