//! A network device in a running machine.

use serde_json::Value;
use virtio_net::NetHandle;

use super::super::control::NetControl;

/// A network device.
pub(super) struct Running(pub(super) NetHandle);

impl NetControl for Running {
    fn set_link(&self, up: bool) -> Result<(), String> {
        self.0.set_link(up);
        Ok(())
    }

    fn announce(&self) -> Result<(), String> {
        if self.0.announce() { Ok(()) } else { Err("the guest's driver cannot announce itself now".to_owned()) }
    }

    fn stats(&self) -> String {
        let counts = self.0.counts();
        let counts = counts.iter().map(|(name, count)| (name.to_owned(), Value::from(count)));
        let network = self.0.network_counts();
        let network = network.iter().map(|(name, count)| (format!("network_{name}"), Value::from(count)));
        let now = [
            ("link_up", self.0.is_link_up().into()),
            ("mac", self.0.mac().to_string().into()),
            ("pairs", self.0.pairs().into()),
        ];
        let now = now.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value));
        Value::from_iter(counts.chain(network).chain(now)).to_string()
    }
}
