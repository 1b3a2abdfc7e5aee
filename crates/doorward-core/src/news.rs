//! What happens to approvals in this process, for the calls that wait for them here: they need not ask the store at once and
//! again. What other processes decide, they find there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, Receiver, error::RecvError};

/// IDs that a waiting call may be behind; beyond, it looks into the store.
const BEHIND: usize = 256;

/// IDs of approvals that were decided, given back or sent in this process.
#[derive(Debug, Clone)]
pub struct News(broadcast::Sender<Arc<str>>);

impl Default for News {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

impl News {
    /// Wakes the calls that wait for an approval.
    pub fn tell(&self, id: &str) {
        // Nobody may wait.
        _ = self.0.send(id.into());
    }

    /// From now on. It is asked for before the store is, so that nothing is missed between.
    pub fn follow(&self) -> Following {
        Following(self.0.subscribe())
    }
}

/// What has happened since.
#[derive(Debug)]
pub struct Following(Receiver<Arc<str>>);

impl Following {
    /// Returns once something has happened to an approval, at the latest after some time.
    pub async fn wait(&mut self, id: &str, most: Duration) {
        let happened = async {
            loop {
                match self.0.recv().await {
                    Ok(other) if *other != *id => {}
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    // The gateway has ended.
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        _ = tokio::time::timeout(most, happened).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_follows_hears_of_its_own_approval_at_once() {
        const LONG: Duration = Duration::from_secs(60);
        let news = News::default();
        let mut following = news.follow();
        let began = tokio::time::Instant::now();
        news.tell("other");
        news.tell("mine");
        following.wait("mine", LONG).await;
        assert!(began.elapsed() < LONG);
        following.wait("mine", LONG).await;
        assert!(began.elapsed() >= LONG);
        // A listener that has missed news wakes up in any case.
        for _ in 0..=BEHIND {
            news.tell("other");
        }
        let began = tokio::time::Instant::now();
        following.wait("mine", LONG).await;
        assert!(began.elapsed() < LONG);
    }
}
