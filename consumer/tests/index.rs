//! The index of the lease table is deleted by hand: the rule *the index* of `docs/rules.md`.

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, DeleteGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate};
use kinesis_consumer::{Batch, ConsumerHandle, Finding, FindingKind, RunError};
use kinesis_testkit::Cloud;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::common::{Ledger, builder};

mod common;

const SECOND: Duration = Duration::from_secs(1);

async fn start(
    cloud: &Cloud,
    worker: &'static str,
    ledger: &Ledger,
) -> (ConsumerHandle, JoinHandle<Result<(), RunError>>) {
    let consumer = builder(cloud, worker).await.build().await.expect("built");
    let (handle, ledger) = (consumer.handle(), ledger.clone());
    let running = tokio::spawn(consumer.run(move |batch: Batch| {
        ledger.note(worker, &batch);
        async { Ok::<(), std::io::Error>(()) }
    }));
    (handle, running)
}

async fn delete_index(cloud: &Cloud) {
    let delete = DeleteGlobalSecondaryIndexAction::builder().index_name("LeaseOwnerToLeaseKeyIndex").build();
    let update = GlobalSecondaryIndexUpdate::builder().delete(delete.expect("a name is given")).build();
    let operator = cloud.outside().dynamodb;
    operator.update_table().table_name("app").global_secondary_index_updates(update).send().await.expect("it is there");
}

fn of_the_index(handle: &ConsumerHandle) -> Vec<Finding> {
    handle.findings().into_iter().filter(|finding| finding.kind == FindingKind::IndexGone).collect()
}

/// Workers that do not lead find by the index alone which leases they are given.
#[tokio::test(start_paused = true)]
async fn leases_are_found_without_the_index_and_that_it_is_gone_is_said() {
    let cloud = Cloud::new();
    let stream = cloud.create_stream("clicks", 6).await;
    let ledger = Ledger::of(&cloud);
    let (a, _a) = start(&cloud, "a", &ledger).await;
    let (b, _b) = start(&cloud, "b", &ledger).await;
    let (_c, running) = start(&cloud, "c", &ledger).await;
    for number in 0..20 {
        stream.put(&number.to_string(), number.to_string()).await;
    }
    ledger.wait_for(20).await;
    sleep(60 * SECOND).await;
    delete_index(&cloud).await;
    sleep(5 * SECOND).await;
    for handle in [&a, &b] {
        let found = of_the_index(handle);
        assert_eq!(found.iter().map(|finding| finding.subject.as_str()).collect::<Vec<_>>(), ["app"]);
        assert_eq!(handle.findings(), found, "and nothing else");
    }
    running.abort();
    for number in 20..80 {
        stream.put(&number.to_string(), number.to_string()).await;
    }
    let died = Instant::now();
    ledger.wait_for(80).await;
    // What a death takes, and the pause between two looks.
    assert!(died.elapsed() <= 40 * SECOND, "{:?}", died.elapsed());
    ledger.check(&stream);
    let b_s = || {
        let items = cloud.table("app").items().into_iter();
        items.filter(|item| item.get("leaseOwner") == Some(&AttributeValue::S("b".to_owned()))).count()
    };
    assert_eq!(b_s(), 3, "b does not lead, and has found what it was given");
    // A worker that leaves without the index lets go of what it has.
    b.shutdown(5 * SECOND).await;
    assert_eq!(b_s(), 0);

    let (d, _d) = start(&cloud, "d", &ledger).await;
    sleep(10 * SECOND).await;
    assert_eq!((of_the_index(&a), of_the_index(&d)), (vec![], vec![]), "a worker that starts makes it anew");
}
