//! Between [`Timestamp`] and protobuf's.

use crate::keys::{Timestamp, TimestampError};

impl From<Timestamp> for prost_types::Timestamp {
    fn from(time: Timestamp) -> Self {
        let millis = time.as_millis();
        Self {
            seconds: millis.div_euclid(1000),
            // 0 to 999,000,000.
            nanos: i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
        }
    }
}

impl TryFrom<prost_types::Timestamp> for Timestamp {
    type Error = TimestampError;

    fn try_from(wire: prost_types::Timestamp) -> Result<Self, TimestampError> {
        Self::from_unix(wire.seconds, wire.nanos)
    }
}
