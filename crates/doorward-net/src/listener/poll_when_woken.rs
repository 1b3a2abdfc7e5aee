//! A future within a task that is polled only if it was woken itself.
//!
//! The HTTP library wakes a connection's task for events of the connection, and polls the pending response each
//! time. The response in turn wakes the task for its own progress, such as reading the last piece of a body, and
//! once more when it is complete. Together this costs a considerable part of a call.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// The future was woken and has not been polled since.
const WOKEN: u8 = 1;
/// It is being polled.
const POLLING: u8 = 2;

/// Wakes the responses of one connection, one after the other. A late wake of a previous response causes one
/// extra poll.
#[derive(Debug, Default)]
pub struct WakeFlag {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // If the future is being polled, the poller checks afterwards; if it was woken before, so was the task.
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == 0 {
            self.task.wake();
        }
    }
}

pub struct PollWhenWoken<F> {
    future: Pin<Box<F>>,
    flag: Arc<WakeFlag>,
    waker: Waker,
}

impl<F: Future> PollWhenWoken<F> {
    /// Starts as if woken.
    pub fn new(future: Pin<Box<F>>, flag: &Arc<WakeFlag>) -> Self {
        flag.state.store(WOKEN, Ordering::Release);
        Self { future, flag: flag.clone(), waker: flag.clone().into() }
    }
}

impl<F: Future> Future for PollWhenWoken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, flag, waker } = &mut *self;
        flag.task.register(context.waker());
        if flag.state.load(Ordering::Acquire) & WOKEN == 0 {
            return Poll::Pending;
        }
        flag.state.swap(POLLING, Ordering::AcqRel);
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        let woken = flag.state.fetch_and(!POLLING, Ordering::AcqRel) & WOKEN != 0;
        if woken && polled.is_pending() {
            context.waker().wake_by_ref();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn taken(&self) -> usize {
            self.0.swap(0, Ordering::SeqCst)
        }
    }

    #[test]
    fn a_future_is_polled_only_if_woken_and_wakes_nobody_once_done() {
        let (polls, done) = (Cell::new(0), Cell::new(false));
        let inner = poll_fn(|context| {
            polls.set(polls.get() + 1);
            if polls.get() == 3 || done.get() {
                context.waker().wake_by_ref();
            }
            if done.get() { Poll::Ready(()) } else { Poll::Pending }
        });
        let (task, flag) = (Arc::new(Count::default()), Arc::new(WakeFlag::default()));
        let (waker, own) = (Waker::from(task.clone()), Waker::from(flag.clone()));
        let mut context = Context::from_waker(&waker);
        let mut poller = PollWhenWoken::new(Box::pin(inner), &flag);
        let mut poll = || Pin::new(&mut poller).poll(&mut context).is_ready();

        assert!(!poll() && !poll() && !poll());
        assert_eq!((polls.get(), task.taken()), (1, 0), "it was never woken");
        own.wake_by_ref();
        own.wake_by_ref();
        assert_eq!(task.taken(), 1, "the task is woken once");
        assert!(!poll() && !poll());
        assert_eq!((polls.get(), task.taken()), (2, 0));
        own.wake_by_ref();
        assert!(!poll());
        assert_eq!((polls.get(), task.taken()), (3, 2), "it requests another poll");
        done.set(true);
        assert!(poll());
        assert_eq!((polls.get(), task.taken()), (4, 0), "a wake at its end is not passed on");
    }

    /// A future that is repeatedly woken by another thread is always polled again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_wake_is_lost() {
        let flag = Arc::new(WakeFlag::default());
        for _ in 0..200 {
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(async move {
                for number in 0..100 {
                    let _ = sender.send(number).await;
                    tokio::task::yield_now().await;
                }
            });
            let sum = PollWhenWoken::new(
                Box::pin(async move {
                    let mut sum = 0;
                    while let Some(number) = receiver.recv().await {
                        sum += number;
                    }
                    sum
                }),
                &flag,
            );
            let sum = tokio::time::timeout(std::time::Duration::from_secs(20), sum).await;
            assert_eq!(sum, Ok(4950));
        }
    }
}
