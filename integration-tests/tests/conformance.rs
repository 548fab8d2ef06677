//! Every check against the test kit's cloud, in paused time; and the page that lists them is up to date.

use integration_tests::conformance::{Differences, Service, against_model, compare, page};

#[tokio::test(start_paused = true)]
async fn the_model_does_what_the_kinesis_reference_says() {
    holds(Service::Kinesis).await;
}

#[tokio::test(start_paused = true)]
async fn the_table_store_does_what_the_dynamodb_reference_says() {
    holds(Service::DynamoDb).await;
}

#[test]
fn the_page_is_up_to_date() {
    let known = Differences::committed().expect("the list can be read");
    let committed = include_str!("../../docs/conformance.md");
    assert!(page(&known) == committed, "docs/conformance.md is out of date: run `just conformance-page`");
}

#[test]
fn every_check_has_a_name_of_its_own() {
    let mut names: Vec<&str> = Service::Kinesis.checks().chain(Service::DynamoDb.checks()).map(|c| c.name).collect();
    let total = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), total);
}

async fn holds(service: Service) {
    let known = Differences::committed().expect("the list can be read");
    let mut results = Vec::new();
    for check in service.checks() {
        results.push((check, against_model(check).await));
    }
    let wrong = compare(service.ours(), &results, &known);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), results.len(), wrong.join("\n"));
}
