//! Where the stream and the lease table are: inside this program, or on AWS.

use aws_sdk_dynamodb::Client as DynamoDb;
use aws_sdk_kinesis::Client as Kinesis;
use kinesis_testkit::Stream;

use crate::count_calls::PutRecordsCalls;

/// The stream's name on the local cloud.
const LOCAL_STREAM: &str = "lines";

/// A cloud and the stream on it.
pub(crate) struct Cloud {
    place: Place,
    put_records: PutRecordsCalls,
}

enum Place {
    Local { cloud: kinesis_testkit::Cloud, stream: Stream },
    Aws { config: Box<aws_config::SdkConfig>, stream: String },
}

impl Cloud {
    /// A new cloud in this process with a stream of so many shards.
    pub(crate) async fn local(shards: i32) -> Self {
        let cloud = kinesis_testkit::Cloud::new();
        let stream = cloud.create_stream(LOCAL_STREAM, shards).await;
        Self { place: Place::Local { cloud, stream }, put_records: PutRecordsCalls::default() }
    }

    /// Whatever the SDK's environment points to.
    pub(crate) async fn aws(stream: &str) -> Self {
        let config = aws_config::load_from_env().await;
        Self {
            place: Place::Aws { config: Box::new(config), stream: stream.to_owned() },
            put_records: PutRecordsCalls::default(),
        }
    }

    pub(crate) fn stream(&self) -> &str {
        match &self.place {
            Place::Local { .. } => LOCAL_STREAM,
            Place::Aws { stream, .. } => stream,
        }
    }

    /// A client of the producer's, whose PutRecords calls are counted.
    pub(crate) async fn producer_client(&self) -> Kinesis {
        let config = match &self.place {
            Place::Local { cloud, .. } => cloud.connect("producer").await.kinesis_config(),
            Place::Aws { config, .. } => aws_sdk_kinesis::config::Builder::from(&**config),
        };
        Kinesis::from_conf(config.interceptor(self.put_records.clone()).build())
    }

    pub(crate) async fn worker_clients(&self, worker: &str) -> (Kinesis, DynamoDb) {
        match &self.place {
            Place::Local { cloud, .. } => {
                let connection = cloud.connect(worker).await;
                (connection.kinesis, connection.dynamodb)
            }
            Place::Aws { config, .. } => (Kinesis::new(config), DynamoDb::new(config)),
        }
    }

    pub(crate) fn put_requests(&self) -> u64 {
        self.put_records.count()
    }

    /// Splits the first shard in the middle; `false` where the stream is not ours to split.
    pub(crate) async fn split(&self) -> bool {
        match &self.place {
            Place::Local { stream, .. } => {
                stream.split(0).await;
                true
            }
            Place::Aws { .. } => false,
        }
    }

    /// Cuts a worker's network, so that nothing it still tries to say is heard.
    pub(crate) fn cut_off(&self, worker: &str) {
        if let Place::Local { cloud, .. } = &self.place {
            cloud.faults(worker).black_hole();
        }
    }
}
