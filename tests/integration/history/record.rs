//! Does what agents and operators do, and notes what came of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster::proto::admin::v1 as pb;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::check::{Answer, Entry, Op};
use crate::support::{Operator, Stream, TestAgent, reason_of};

/// How long an operator's call may take before it counts as unknown.
const PATIENCE: Duration = Duration::from_secs(8);

/// The way to a gateway, which may die and come back.
pub struct Door {
    /// Of its process.
    pub number: Arc<AtomicU64>,
    pub agents: Channel,
    pub operator: Operator,
}

impl Door {
    pub fn new(number: u64, agents: Channel, operator: Operator) -> Self {
        Self {
            number: Arc::new(AtomicU64::new(number)),
            agents,
            operator,
        }
    }

    fn number(&self) -> u64 {
        self.number.load(Ordering::SeqCst)
    }
}

/// A key that was created.
#[derive(Debug, Clone)]
pub struct Key {
    pub number: u64,
    pub id: String,
    pub secret: String,
}

/// A history in the making.
pub struct Recorder {
    began: Instant,
    entries: Mutex<Vec<Entry>>,
    last: AtomicU64,
    /// Sessions that stand, so that the agents can leave at the end.
    leave: CancellationToken,
}

/// An operation under way.
struct Begun {
    at: Duration,
    gateway: u64,
}

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            entries: Mutex::default(),
            last: AtomicU64::new(0),
            leave: CancellationToken::new(),
        })
    }

    /// All that was noted. Sessions that still stand have no end.
    pub fn history(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// All agents leave.
    pub fn leave(&self) {
        self.leave.cancel();
    }

    fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn begin(&self, door: &Door) -> Begun {
        Begun {
            at: self.began.elapsed(),
            gateway: door.number(),
        }
    }

    fn note(&self, begun: &Begun, door: &Door, key: u64, op: Op, answer: Answer) {
        let same = begun.gateway == door.number();
        self.entries.lock().unwrap().push(Entry {
            key,
            gateway: same.then_some(begun.gateway),
            op,
            begun: begun.at,
            done: self.began.elapsed(),
            answer,
        });
    }

    /// Creates a key; `None` if whether it exists, and will, is not known.
    pub async fn create(&self, door: &Door) -> Option<Key> {
        let (begun, number) = (self.begin(door), self.next());
        let request = pb::CreateKeyRequest {
            name: format!("key {number}"),
            expires_at: None,
        };
        let mut keys = door.operator.keys();
        let created = of_operator(keys.create_key(request)).await;
        let answer = operators(&created);
        self.note(&begun, door, number, Op::Create, answer);
        let created = created.ok()?;
        // A failover may lose it, and then nobody can tell that it was good.
        if !created.durable {
            return None;
        }
        Some(Key {
            number,
            id: created.key.unwrap().object_id,
            secret: created.secret,
        })
    }

    /// Gives a key another name and a later expiry.
    pub async fn edit(&self, door: &Door, key: &Key) {
        let begun = self.begin(door);
        let expires = std::time::SystemTime::now() + Duration::from_secs(100 * 24 * 3600);
        let request = pb::EditKeyRequest {
            object_id: key.id.clone(),
            name: Some(format!("edited {}", self.next())),
            expires_at: Some(expires.into()),
            if_revision: None,
        };
        let mut keys = door.operator.keys();
        let edited = of_operator(keys.edit_key(request)).await;
        self.note(&begun, door, key.number, Op::Edit, operators(&edited));
    }

    /// Revokes a key, and waits at most `wait` for the gateways.
    pub async fn revoke(&self, door: &Door, key: &Key, wait: Duration) -> Answer {
        let begun = self.begin(door);
        let request = pb::RevokeKeyRequest {
            object_id: key.id.clone(),
            wait: Some(wait.try_into().unwrap()),
        };
        let mut keys = door.operator.keys();
        let revoked = of_operator(keys.revoke_key(request)).await;
        let answer = match &revoked {
            // Applied there, and lost with that gateway: no acknowledgement.
            Ok(outcome) if outcome.pending => Answer::Unknown,
            revoked => operators(revoked),
        };
        self.note(&begun, door, key.number, Op::Revoke, answer.clone());
        answer
    }

    pub async fn delete(&self, door: &Door, key: &Key) -> Answer {
        let begun = self.begin(door);
        let request = pb::DeleteKeyRequest {
            object_id: key.id.clone(),
        };
        let mut keys = door.operator.keys();
        let answer = operators(&of_operator(keys.delete_key(request)).await);
        self.note(&begun, door, key.number, Op::Delete, answer.clone());
        answer
    }

    /// Looks at a key.
    pub async fn read(&self, door: &Door, key: &Key) -> Answer {
        let begun = self.begin(door);
        let request = pb::GetKeyRequest {
            object_id: key.id.clone(),
        };
        let mut keys = door.operator.keys();
        let answer = match of_operator(keys.get_key(request)).await {
            Ok(found) if found.key.as_ref().unwrap().revoked_at.is_some() => Answer::Ended,
            Ok(_) => Answer::Yes,
            Err(status) if status.code() == Code::NotFound => Answer::Refused("NOT_FOUND".into()),
            Err(_) => Answer::Unknown,
        };
        self.note(&begun, door, key.number, Op::Read, answer.clone());
        answer
    }

    pub async fn join(&self, door: &Door, key: &Key) -> Answer {
        let begun = self.begin(door);
        let agent = TestAgent::new(door.agents.clone(), &key.secret);
        let answer = agents(agent.join().await.err());
        self.note(&begun, door, key.number, Op::Join, answer.clone());
        answer
    }

    /// Opens a session that stays until it is ended, or the agent leaves after
    /// `stay`; its end is noted when it comes.
    pub async fn subscribe(
        self: &Arc<Self>,
        door: &Arc<Door>,
        key: &Key,
        stay: Duration,
    ) -> Answer {
        let begun = self.begin(door);
        let (number, key_number) = (self.next(), key.number);
        let agent = TestAgent::new(door.agents.clone(), &key.secret);
        let Stream {
            mut incoming,
            outgoing,
        } = match agent.subscribe().await {
            Ok(stream) => stream,
            Err(refused) => {
                let answer = agents(Some(refused));
                let op = Op::Subscribe(number);
                self.note(&begun, door, key_number, op, answer.clone());
                return answer;
            }
        };
        self.note(&begun, door, key_number, Op::Subscribe(number), Answer::Yes);
        let (this, door) = (Arc::clone(self), Arc::clone(door));
        tokio::spawn(async move {
            let _kept = outgoing;
            let left = async {
                tokio::select! {
                    () = tokio::time::sleep(stay) => {}
                    () = this.leave.cancelled() => {}
                }
            };
            let ended = async {
                loop {
                    match incoming.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => return None,
                        Err(status) => return Some(status),
                    }
                }
            };
            let status = tokio::select! {
                status = ended => status,
                () = left => None,
            };
            let at = this.begin(&door);
            let answer = status.map_or(Answer::Unknown, |status| agents(Some(status)));
            this.note(&at, &door, key_number, Op::End(number), answer);
        });
        Answer::Yes
    }

    /// How often each operation was answered how.
    pub fn summary(&self) -> String {
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        for entry in self.entries.lock().unwrap().iter() {
            let op = match entry.op {
                Op::Create => "create",
                Op::Edit => "edit",
                Op::Revoke => "revoke",
                Op::Delete => "delete",
                Op::Join => "join",
                Op::Subscribe(_) => "subscribe",
                Op::End(_) => "end",
                Op::Read => "read",
            };
            let answer = match entry.answer {
                Answer::Yes => "yes",
                Answer::Ended => "revoked",
                Answer::Refused(_) => "refused",
                Answer::Unknown => "unknown",
            };
            *counts.entry((op, answer)).or_default() += 1;
        }
        let mut lines: Vec<_> = counts.into_iter().collect();
        lines.sort();
        let told = lines
            .iter()
            .map(|((op, answer), n)| format!("{op} {answer} {n}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

async fn of_operator<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer")));
    answer.map(tonic::Response::into_inner)
}

/// An operator is refused for reasons of its own, never told a lie by it.
fn operators<T>(answer: &Result<T, Status>) -> Answer {
    match answer {
        Ok(_) => Answer::Yes,
        Err(_) => Answer::Unknown,
    }
}

fn agents(refused: Option<Status>) -> Answer {
    let Some(status) = refused else {
        return Answer::Yes;
    };
    let reason = reason_of(&status);
    match (status.code(), reason.as_str()) {
        (Code::Unauthenticated, "KEY_REVOKED" | "KEY_DELETED") => Answer::Ended,
        // Final for an agent, each of them.
        (Code::Unauthenticated | Code::PermissionDenied, _) => {
            Answer::Refused(format!("{:?} {reason} {}", status.code(), status.message()))
        }
        _ => Answer::Unknown,
    }
}
