//! Runtimes that wait in epoll.

mod contain;
mod inbox;
mod poll;
mod shared;
mod thread;
mod worker;

pub use shared::SharedRuntime;
pub use thread::ThreadRuntime;
