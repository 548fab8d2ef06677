//! kinesis-producer
