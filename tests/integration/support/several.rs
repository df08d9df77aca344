//! Three gateways in this process on one Redis.

use std::sync::Arc;

use super::{Operator, RedisServer, TestGateway};

/// Called a, b and c; each has a store of its own over the server.
pub async fn three_on(redis: &RedisServer) -> Vec<TestGateway> {
    let mut gateways = Vec::new();
    for name in ["a", "b", "c"] {
        let store = Arc::new(redis.store(|_| {}).await);
        let started = TestGateway::over(store, |config| config.gateway_name = name.into());
        gateways.push(started.await);
    }
    gateways
}

/// Their operators, in the same order.
pub async fn operators(gateways: &[TestGateway]) -> Vec<Operator> {
    let mut operators = Vec::new();
    for gateway in gateways {
        operators.push(gateway.operator().await);
    }
    operators
}
