//! Agents that live.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::agent::{Agent, Happening};
use super::connection::Key;
use super::harness::Harness;

/// Agents that live.
pub(super) struct Fleet {
    harness: Arc<Harness>,
    agents: JoinSet<()>,
    cuts: Vec<Arc<Notify>>,
    turns: Arc<Semaphore>,
    retries: bool,
    tell: UnboundedSender<Happening>,
}

impl Fleet {
    /// Empty; at most `at_once` agents join at the same time.
    pub fn new(harness: &Arc<Harness>, at_once: usize) -> (Self, UnboundedReceiver<Happening>) {
        let (tell, told) = mpsc::unbounded_channel();
        let fleet = Self {
            harness: Arc::clone(harness),
            agents: JoinSet::new(),
            cuts: Vec::new(),
            turns: Arc::new(Semaphore::new(at_once)),
            retries: true,
            tell,
        };
        (fleet, told)
    }

    /// Whether those that are added from now on try again after an end.
    pub fn retries(&mut self, retries: bool) {
        self.retries = retries;
    }

    /// One more, which comes in when it is its turn.
    pub async fn add(&mut self, key: &Key) {
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        let cut = Arc::new(Notify::new());
        let agent = Agent {
            number: u64::try_from(self.cuts.len()).unwrap_or(u64::MAX),
            key: key.clone(),
            cut: Arc::clone(&cut),
            retries: self.retries,
            turn,
        };
        self.cuts.push(cut);
        let harness = Arc::clone(&self.harness);
        self.agents.spawn(agent.live(harness, self.tell.clone()));
    }

    /// The agent of that number loses its connection.
    pub fn cut(&self, number: u64) {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(cut) = self.cuts.get(at) {
            cut.notify_one();
        }
    }
}
