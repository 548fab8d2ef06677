//! How tables behave: the same settings for all of them and for one.

use std::time::Duration;

use super::{DynamoDb, Table};
use crate::dynamodb::settings::{Lag, Throughput};

macro_rules! settings {
    ($($of:ident),+) => {$(
        impl $of {
            /// How long CreateTable leaves a table in CREATING; not at all by default. Until then it can be described and
            /// nothing else.
            pub fn creating(&self, time: Duration) {
                self.set(|settings| settings.creating = Some(time));
            }

            /// How long DeleteTable leaves a table in DELETING; not at all by default.
            pub fn deleting(&self, time: Duration) {
                self.set(|settings| settings.deleting = Some(time));
            }

            /// How long an index that UpdateTable creates is CREATING and backfilling; not at all by default. Until then it
            /// cannot be queried.
            pub fn index_creating(&self, time: Duration) {
                self.set(|settings| settings.index_creating = Some(time));
            }

            /// Indexes see each write that much later; at once by default.
            pub fn index_lag(&self, lag: impl Into<Lag>) {
                let lag = lag.into();
                self.set(|settings| settings.index_lag = Some(lag));
            }

            /// Eventually consistent reads of a table see each write that much later; at once by default. Consistent reads
            /// are never late.
            pub fn read_lag(&self, lag: impl Into<Lag>) {
                let lag = lag.into();
                self.set(|settings| settings.read_lag = Some(lag));
            }

            /// A table takes and gives so much; what is more is throttled. It begins with a full burst. By default it gives
            /// what it provisioned, without limit when it is on demand.
            pub fn throughput(&self, throughput: Throughput) {
                self.set(|settings| settings.throughput = Some(Some(throughput)));
            }

            /// Neither a table nor its indexes are throttled, whatever they provisioned.
            pub fn without_throughput(&self) {
                self.set(|settings| {
                    settings.throughput = Some(None);
                    settings.index_throughput.clear();
                });
            }
        }
    )+};
}

settings!(DynamoDb, Table);
