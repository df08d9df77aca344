//! When hyper asks a peer that says nothing whether it is there.
//!
//! Owns: the timer behind hyper's keepalive. Must not know: PINGs. Invariant: a
//! peer is asked once nothing came from it for a whole interval, whatever it
//! could have been. hyper itself counts requests and bodies alone, and would ask
//! every agent at every interval, though each sends a PING of its own as often.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::time::{self, Instant};

use super::coarse::together;
use super::lifecycle::Shared;

/// hyper's timer for one HTTP/2 connection, which serves its keepalive alone.
#[derive(Debug, Clone)]
pub(super) struct KeepAliveTimer(pub Arc<Shared>);

/// A wait that goes on for as long as the peer is heard.
struct Silence {
    sleep: Pin<Box<time::Sleep>>,
    connection: Arc<Shared>,
}

impl Silence {
    fn until(&mut self, deadline: Instant) {
        let deadline = together(deadline, Instant::now());
        self.sleep.as_mut().reset(deadline);
    }
}

impl Future for Silence {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let heard = self.connection.counts_as_heard_until();
            if heard <= Instant::now() {
                return Poll::Ready(());
            }
            self.until(heard);
        }
    }
}

impl Sleep for Silence {}

impl Timer for KeepAliveTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(Silence {
            sleep: Box::pin(time::sleep(duration)),
            connection: Arc::clone(&self.0),
        })
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Silence {
            sleep: Box::pin(time::sleep_until(deadline.into())),
            connection: Arc::clone(&self.0),
        })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: std::time::Instant) {
        if let Some(silence) = sleep.as_mut().downcast_mut_pin::<Silence>() {
            silence.get_mut().until(new_deadline.into());
        }
    }

    fn now(&self) -> std::time::Instant {
        Instant::now().into()
    }
}
