//! Runtimes that wait in epoll.

mod contain;
mod event_loop;
mod inbox;
mod poll;
mod shared;
#[allow(unsafe_code)]
mod sys;
mod thread;
mod timer;
mod worker;

pub use event_loop::LoopRuntime;
pub use shared::SharedRuntime;
pub use thread::ThreadRuntime;
