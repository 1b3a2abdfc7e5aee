//! A server that is not well, as long as it is told to be.

use std::time::Duration;

use http::{Response, StatusCode};

use super::State;
use super::body::{Body, status};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// Nobody listens, and connections are cut where they are.
    Dead,
    /// Requests are taken, and not answered until it is well again.
    Hung,
    /// Each answer takes so much longer.
    Slow(Duration),
    /// Each is HTTP 500.
    Failing,
}

impl State {
    /// Lets a request suffer from what is wrong. Returns the answer where that is all there is.
    pub(super) async fn suffer(&self) -> Option<Response<Body>> {
        let mut mood = self.mood.subscribe();
        let now = *mood.borrow_and_update();
        match now {
            Mood::Well | Mood::Dead => None,
            Mood::Hung => {
                let _ = mood.wait_for(|mood| *mood != Mood::Hung).await;
                None
            }
            Mood::Slow(longer) => {
                tokio::time::sleep(longer).await;
                None
            }
            Mood::Failing => Some(status(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }
}
