//! kinesis-aggregation
