//! Redis with Sentinel: the gateways find the master by themselves.

use crate::support::Sentinels;

#[tokio::test]
async fn the_trio_promotes_a_replica() {
    let mut site = Sentinels::start().await;
    let old = site.kill_master().await;
    let (new, took) = site.failover_from(old).await;
    println!("promoted after {took:?}");
    site.replicas_of(new, 1).await;
}
