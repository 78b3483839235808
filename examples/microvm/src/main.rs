//! A small KVM virtual machine monitor.
fn main() {}
