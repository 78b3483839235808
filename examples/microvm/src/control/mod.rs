//! Talking to a running machine: one line of request, one line of answer (`ok` and what there is to say, or `error: ` and why).
//!
//! | File | Idea |
//! |---|---|
//! | `request.rs` | what can be asked for, and how it is written |
//! | `server.rs` | the socket and its thread |
//! | `client.rs` | `microvm ctl` |

pub(crate) mod client;
mod request;
pub(crate) mod server;

pub(crate) use request::Request;

#[cfg(test)]
mod tests;
