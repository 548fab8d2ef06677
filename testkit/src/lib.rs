//! kinesis-testkit
