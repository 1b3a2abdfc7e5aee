//! A server with faults that can be turned on and off.

use std::time::Duration;

use http::{Response, StatusCode};

use super::State;
use super::body::{Body, status};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// New connections are refused, and open ones are cut.
    Dead,
    /// Requests are accepted, and answered only after the fault ends.
    Hung,
    /// Each response takes this much longer.
    Slow(Duration),
    /// Each response is HTTP 500.
    Failing,
}

impl State {
    /// Applies the fault to a request. Returns the response if the fault provides it.
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
