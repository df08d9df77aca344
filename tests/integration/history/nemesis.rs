//! Three gateways as real processes on one Redis with a replica, a proxy before
//! each, and the one who breaks them: one fault after another, by a seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use muster::store::KeyStore;
use redis::AsyncCommands;

use super::record::Door;
use crate::support::{
    Fault, Of, Process, Proxy, RedisServer, SHORT, Site, eventually, free_port, new_key,
};

const GATEWAYS: usize = 3;
/// Sets a name if it holds what is expected.
const SWAP: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
    redis.call('SET', KEYS[1], ARGV[2]) return 1 end return 0";

/// SplitMix64: a seed gives the same choices again.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len() as u64) as usize]
    }
}

pub struct Cluster {
    site: Site,
    replica: RedisServer,
    /// The site's own is the master; else the replica is.
    swapped: bool,
    gateways: Vec<Gateway>,
    /// What is still to come before anything comes again.
    deck: Vec<u64>,
    /// How often each fault was made.
    pub faults: BTreeMap<&'static str, usize>,
}

struct Gateway {
    flags: Vec<String>,
    name: &'static str,
    process: Process,
    proxy: Proxy,
    door: Arc<Door>,
}

impl Cluster {
    /// All healthy.
    pub async fn start() -> Self {
        let site = Site::new();
        let replica_of = format!("replicaof 127.0.0.1 {}", site.redis.port());
        let lines = [replica_of.as_str(), "repl-diskless-sync-delay 0"];
        let replica = RedisServer::configured(free_port(), &lines);
        eventually("the replica follows", async || follows(&replica).await).await;
        let mut gateways = Vec::new();
        for name in ["one", "two", "three"] {
            let proxy = Proxy::start(site.redis.port()).await;
            // The ports stay when it is started again.
            let mut flags: Vec<String> = SHORT.iter().map(|flag| (*flag).into()).collect();
            flags.extend(["--staleness=strict", "--max-concurrent-streams=1000"].map(Into::into));
            for listen in ["--agent-listen", "--admin-listen"] {
                flags.extend([listen.into(), format!("127.0.0.1:{}", free_port())]);
            }
            let process = launch(&site, &proxy, name, &flags).await;
            let token = process.token();
            let number = gateways.len() as u64;
            let door = Door::new(
                number,
                process.lasting_agent_channel(),
                process.lasting_operator(token.trim()),
            );
            gateways.push(Gateway {
                flags,
                name,
                process,
                proxy,
                door: Arc::new(door),
            });
        }
        Self {
            site,
            replica,
            swapped: false,
            gateways,
            deck: Vec::new(),
            faults: BTreeMap::new(),
        }
    }

    pub fn doors(&self) -> Vec<Arc<Door>> {
        let doors = self.gateways.iter().map(|gateway| &gateway.door);
        doors.map(Arc::clone).collect()
    }

    fn master(&mut self) -> &mut RedisServer {
        match self.swapped {
            false => &mut self.site.redis,
            true => &mut self.replica,
        }
    }

    /// Makes one fault and ends it.
    pub async fn strike(&mut self, dice: &mut Dice) {
        let victim = dice.below(GATEWAYS as u64) as usize;
        let of = *dice.one_of(&[Of::All, Of::Tail, Of::Hint]);
        if self.deck.is_empty() {
            self.deck = (0..13).collect();
        }
        let next = dice.below(self.deck.len() as u64) as usize;
        let fault = match self.deck.swap_remove(next) {
            0 => {
                self.kill_gateway(victim, dice.millis(0, 1_500)).await;
                "gateway kill -9"
            }
            1 => {
                self.master().kill();
                tokio::time::sleep(dice.millis(0, 3_000)).await;
                self.master().restart();
                "Redis kill -9"
            }
            2 => {
                self.master().pause();
                tokio::time::sleep(dice.millis(200, 5_000)).await;
                self.master().resume();
                "Redis stopped"
            }
            3 => {
                let fault = Fault::Swallow(of);
                self.network(victim, fault, dice.millis(200, 5_000)).await;
                "bytes swallowed"
            }
            4 => {
                let fault = Fault::Cut(of);
                self.network(victim, fault, dice.millis(200, 4_000)).await;
                "connections cut"
            }
            5 => {
                let fault = Fault::Delay(of, dice.millis(20, 300));
                self.network(victim, fault, dice.millis(500, 4_000)).await;
                "bytes delayed"
            }
            6 => {
                self.kill_clients().await;
                "CLIENT KILL"
            }
            7 => {
                self.damage_a_row(dice.millis(500, 4_000), dice).await;
                "a key's row damaged, Redis kill -9"
            }
            8 => {
                let right = *dice.one_of(&["xadd", "zadd", "hset", "set"]);
                self.take_a_right(right, dice.millis(500, 3_000)).await;
                "a right taken away"
            }
            9 => {
                let fault = Fault::Delay(Of::All, dice.millis(20, 300));
                self.everywhere(fault, dice.millis(500, 3_000)).await;
                "Redis far from all"
            }
            10 => {
                self.bulk(dice.millis(500, 3_000)).await;
                "a bulk of creates"
            }
            11 => {
                self.remove_markers().await;
                "markers removed, Redis kill -9"
            }
            _ => {
                self.fail_over(dice.millis(0, 800), dice.millis(0, 500))
                    .await;
                "failover"
            }
        };
        *self.faults.entry(fault).or_default() += 1;
    }

    async fn network(&self, victim: usize, fault: Fault, lasts: Duration) {
        let proxy = &self.gateways[victim].proxy;
        proxy.set(fault);
        tokio::time::sleep(lasts).await;
        proxy.set(Fault::None);
    }

    async fn everywhere(&self, fault: Fault, lasts: Duration) {
        for gateway in &self.gateways {
            gateway.proxy.set(fault);
        }
        tokio::time::sleep(lasts).await;
        for gateway in &self.gateways {
            gateway.proxy.set(Fault::None);
        }
    }

    /// One key's row is damaged, and Redis starts anew, so that all read it again.
    /// Then it is as it was, unless somebody wrote it meanwhile.
    async fn damage_a_row(&mut self, lasts: Duration, dice: &mut Dice) {
        let mut raw = self.master().raw().await;
        let places: Vec<String> = raw.zrange("{muster}:keys", 0, -1).await.unwrap();
        let id = dice.one_of(&places).split_once(':').unwrap().1.to_owned();
        let name = format!("{{muster}}:key:{id}");
        let Ok(whole) = raw.get::<_, Vec<u8>>(&name).await else {
            return;
        };
        let mut damaged = whole.clone();
        if let Some(last) = damaged.last_mut() {
            *last ^= 1;
        }
        let swap = redis::Script::new(SWAP);
        let mut change = swap.key(&name);
        change.arg(&whole).arg(&damaged);
        let _: bool = change.invoke_async(&mut raw).await.unwrap();
        self.master().kill();
        self.master().restart();
        tokio::time::sleep(lasts).await;
        let mut raw = self.master().raw().await;
        let mut change = swap.key(&name);
        change.arg(&damaged).arg(&whole);
        let _: bool = change.invoke_async(&mut raw).await.unwrap();
    }

    async fn take_a_right(&mut self, right: &str, lasts: Duration) {
        for (sign, lasts) in [('-', lasts), ('+', Duration::ZERO)] {
            let mut raw = self.master().raw().await;
            let mut set = redis::cmd("ACL");
            set.arg("SETUSER")
                .arg("muster")
                .arg(format!("{sign}{right}"));
            let _: () = set.query_async(&mut raw).await.unwrap();
            tokio::time::sleep(lasts).await;
        }
    }

    /// Another process makes keys as fast as it can.
    async fn bulk(&mut self, lasts: Duration) {
        let store = self.master().store(|_| {}).await;
        let creating = async {
            loop {
                let _ = store.create(new_key("bulk")).await;
            }
        };
        let _ = tokio::time::timeout(lasts, creating).await;
    }

    /// As if each deleted key had expired at once, and every gateway missed it.
    async fn remove_markers(&mut self) {
        let mut raw = self.master().raw().await;
        let ids: Vec<String> = raw.zrange("{muster}:markers", 0, -1).await.unwrap();
        for id in ids {
            let _: u64 = raw.del(format!("{{muster}}:key:{id}")).await.unwrap();
            let _: u64 = raw.zrem("{muster}:markers", id).await.unwrap();
        }
        self.master().kill();
        self.master().restart();
    }

    async fn kill_gateway(&mut self, victim: usize, away: Duration) {
        let gateway = &mut self.gateways[victim];
        gateway.process.kill().await;
        // What it answered before is not what the next one knows.
        gateway
            .door
            .number
            .fetch_add(GATEWAYS as u64, Ordering::SeqCst);
        tokio::time::sleep(away).await;
        let (name, flags) = (gateway.name, &gateway.flags);
        gateway.process = launch(&self.site, &gateway.proxy, name, flags).await;
    }

    async fn kill_clients(&mut self) {
        let mut raw = self.master().raw().await;
        let mut kill = redis::cmd("CLIENT");
        kill.arg(&["KILL", "TYPE", "normal", "SKIPME", "yes"]);
        let _: u64 = kill.query_async(&mut raw).await.unwrap();
    }

    /// The master dies, and the replica takes its place without what was written
    /// in the last `behind`. The proxies lead there, as an address would that
    /// follows the master.
    async fn fail_over(&mut self, behind: Duration, away: Duration) {
        let (old, new) = match self.swapped {
            false => (&mut self.site.redis, &mut self.replica),
            true => (&mut self.replica, &mut self.site.redis),
        };
        eventually("the replica has what the master has", async || {
            follows(new).await
        })
        .await;
        new.pause();
        tokio::time::sleep(behind).await;
        old.kill();
        // Started again, it has lost what lay in its socket.
        new.kill();
        new.restart();
        follow(new, None).await;
        tokio::time::sleep(away).await;
        for gateway in &self.gateways {
            gateway.proxy.lead_to(new.port());
        }
        old.restart();
        follow(old, Some(new.port())).await;
        self.swapped = !self.swapped;
        // Who saw what was lost has to live until the store has it again.
        self.settled().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// Waits until every gateway hears from its store.
    pub async fn settled(&self) {
        for gateway in &self.gateways {
            eventually("the gateway hears from its store", async || {
                gateway.process.metric("muster_view_age_seconds").await < 1.0
            })
            .await;
        }
    }
}

/// Whether a replica is in touch with its master, and has on its disk what it
/// acknowledges: after a full sync it writes its file anew, and until that is done
/// a kill brings back the old one.
async fn follows(replica: &RedisServer) -> bool {
    let mut raw = replica.raw().await;
    let mut info = redis::cmd("INFO");
    let info: Result<String, _> = info
        .arg(&["replication", "persistence"])
        .query_async(&mut raw)
        .await;
    info.is_ok_and(|info| {
        let is_so = |line| info.lines().any(|other| other == line);
        is_so("master_link_status:up")
            && is_so("aof_enabled:1")
            && is_so("aof_rewrite_in_progress:0")
            && is_so("aof_rewrite_scheduled:0")
    })
}

/// Has a server follow another one, or become the master, once it has loaded what
/// it had.
async fn follow(server: &RedisServer, master: Option<u16>) {
    let mut follow = redis::cmd("REPLICAOF");
    match master {
        Some(port) => follow.arg("127.0.0.1").arg(port),
        None => follow.arg(&["NO", "ONE"]),
    };
    let follow = &follow;
    eventually("the server takes its place", async || {
        let mut raw = server.raw().await;
        follow.query_async::<()>(&mut raw).await.is_ok()
    })
    .await;
    // Also when it is killed and started again.
    let mut raw = server.raw().await;
    let mut keep = redis::cmd("CONFIG");
    let () = keep.arg("REWRITE").query_async(&mut raw).await.unwrap();
}

async fn launch(site: &Site, proxy: &Proxy, name: &str, flags: &[String]) -> Process {
    let url = proxy.way_of(&site.redis.login_url());
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    site.launch_at(&url, name, &flags).ready().await
}
