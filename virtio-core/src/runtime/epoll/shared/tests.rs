#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use super::*;
use crate::TaskContext;
use crate::runtime::tests::{Script, runner};
use crate::task::{Next, Outcome};

#[test]
fn a_runtime_whose_threads_have_failed_takes_no_task() {
    let inbox = Arc::new(Inbox::new().unwrap());
    let pool = Pool { threads: Mutex::new(vec![inbox.clone()]) };
    drop(Worker::new(inbox, Poll::new().unwrap()).unwrap());
    let (runner, control, _) = runner(Script { sources: Vec::new(), run: |_: &mut TaskContext| Next::Wait });
    assert!(SharedRuntime(Arc::new(pool)).spawn(runner).is_err());
    assert_eq!(control.outcome(), Some(Outcome::Gone));
}
