//! What `--rng` takes.

use std::path::PathBuf;
use std::str::FromStr;

use super::options;
use super::transport::Transport;

/// One entropy device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rng {
    /// Where its random bytes come from.
    pub(crate) source: PathBuf,
    /// How the guest reaches it.
    pub(crate) transport: Transport,
}

impl FromStr for Rng {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rng = Rng { source: "/dev/urandom".into(), transport: Transport::default() };
        options::each(text, |key, value| {
            match (key, value) {
                ("source", "") => return Err("source is empty".to_owned()),
                ("source", value) => rng.source = value.into(),
                ("transport", value) => rng.transport = Transport::parse(value)?,
                (key, value) => return Err(options::unknown(key, value, "source=FILE and transport=pci|mmio")),
            }
            Ok(())
        })?;
        Ok(rng)
    }
}
