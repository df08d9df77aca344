//! How many connections a listener has, in all and from each address.
//!
//! Owns: the counts. Must not know: sockets, TLS, HTTP. Invariant: a slot is
//! given back exactly once, when it is dropped, and an address without
//! connections takes no memory.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::RefuseReason;

/// The counts of one listener.
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    max_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to hold one connection; dropping it gives it back.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            max_per_address,
            counts: Mutex::default(),
        })
    }

    /// Takes a slot for a connection from `address`.
    pub(super) fn admit(
        self: &Arc<Self>,
        address: IpAddr,
    ) -> Result<ConnectionPermit, RefuseReason> {
        // On a dual-stack socket an IPv4 peer appears as ::ffff:a.b.c.d; it is
        // the same host that an IPv4 socket sees.
        let address = address.to_canonical();
        let mut counts = self.counts.lock();
        if counts.total >= self.max {
            return Err(RefuseReason::TooMany);
        }
        let here = counts.by_address.get(&address).copied().unwrap_or(0);
        if here >= self.max_per_address {
            return Err(RefuseReason::TooManyFromAddress);
        }
        counts.by_address.insert(address, here + 1);
        counts.total += 1;
        Ok(ConnectionPermit {
            admission: Arc::clone(self),
            address,
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        counts.total = counts.total.saturating_sub(1);
        match counts.by_address.get_mut(&self.address) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_hold_and_slots_come_back() {
        let admission = Admission::new(3, 2);
        let (one, two): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = admission.admit(one).unwrap();
        let _second = admission.admit(one).unwrap();
        assert_eq!(
            admission.admit(one).unwrap_err(),
            RefuseReason::TooManyFromAddress
        );
        let third = admission.admit(two).unwrap();
        assert_eq!(admission.admit(two).unwrap_err(), RefuseReason::TooMany);
        drop(third);
        assert!(!admission.counts.lock().by_address.contains_key(&two));
        drop(first);
        admission.admit(one).unwrap();
    }

    #[test]
    fn a_mapped_address_is_the_same_host() {
        let admission = Admission::new(9, 1);
        let _slot = admission.admit("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(
            admission
                .admit("::ffff:192.0.2.1".parse().unwrap())
                .unwrap_err(),
            RefuseReason::TooManyFromAddress
        );
    }
}
