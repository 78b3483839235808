#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#![allow(dead_code)] // until the device uses all of it

pub mod backend;
mod control;
mod filter;
mod header;
mod mac;
mod offloads;
mod settings;
mod stats;
mod packet;
mod wire;

pub use backend::{Capabilities, Configuration, NetBackend, NetQueue};
pub use header::{GsoType, NetHeader};
pub use mac::{BadMacAddress, MacAddress};
pub use offloads::Offloads;
