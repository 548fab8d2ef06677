//! The results: compared with the list of known differences, and as a page of the documentation.

use std::fmt::Write;

use super::{Check, Difference, Differences, Needs, Outcome, Service};

/// What is wrong with the results of `who`: differences that are not listed, and listed ones that are gone.
pub fn compare(who: &str, results: &[(&Check, Outcome)], known: &Differences) -> Vec<String> {
    let mut wrong = Vec::new();
    for (check, outcome) in results {
        match (outcome, known.find(who, check.name)) {
            (Outcome::Differs(seen), None) => wrong.push(format!("{}: {who} differs: {seen:#}", check.name)),
            (Outcome::Holds, Some(_)) => wrong.push(format!("{}: {who} does not differ any more", check.name)),
            (Outcome::NotAsked, Some(_)) => wrong.push(format!("{}: {who} is not asked, yet listed", check.name)),
            _ => {}
        }
    }
    wrong
}

/// `docs/conformance.md`.
pub fn page(known: &Differences) -> String {
    let mut page = String::from(OPENING);
    for service in [Service::Kinesis, Service::DynamoDb] {
        if service.families().is_empty() {
            continue;
        }
        chapter(&mut page, service, known);
    }
    page
}

fn chapter(page: &mut String, service: Service, known: &Differences) {
    let (ours, peer) = (service.ours(), service.peer());
    let total = service.checks().count();
    let asked = service.checks().filter(|check| check.needs == Needs::Nothing).count();
    let heading = match service {
        Service::Kinesis => "Kinesis",
        Service::DynamoDb => "DynamoDB",
    };
    let _ = write!(
        page,
        "\n## {heading}\n\n{total} checks. {ours}: {} hold. {peer}: {} of the {asked} that can be asked in real time hold.\n",
        total - known.of(ours).count(),
        asked - known.of(peer).count(),
    );
    for family in service.families() {
        let _ = write!(page, "\n### {}\n\n| check | reference | {ours} | {peer} |\n|---|---|---|---|\n", family.title);
        for check in family.checks {
            let (a, b) = (mark(ours, check, known, true), mark(peer, check, known, false));
            let _ = writeln!(
                page,
                "| {} | {}: {} | {a} | {b} |",
                words(check.name),
                check.page,
                check.says.replace('|', "\\|")
            );
        }
    }
    for who in [ours, peer] {
        differences(page, who, known);
    }
}

fn differences(page: &mut String, who: &str, known: &Differences) {
    if known.of(who).next().is_none() {
        return;
    }
    let _ = write!(page, "\n### Where {who} differs\n\n| check | who is right | reason |\n|---|---|---|\n");
    for Difference { check, right, reason, .. } in known.of(who) {
        let _ = writeln!(page, "| {} | {right} | {reason} |", words(check));
    }
}

fn mark(who: &str, check: &Check, known: &Differences, any_time: bool) -> &'static str {
    match check.needs {
        _ if known.find(who, check.name).is_some() => "**differs**",
        _ if any_time => "holds",
        Needs::Nothing => "holds",
        Needs::Hours => "not asked: takes hours",
        Needs::Rates => "not asked: rates",
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

const OPENING: &str = "\
# Conformance

Each line is one check: a function that calls the service through the AWS SDK for Rust and holds it to one sentence of the
API reference. All run against the test kit's cloud in every `cargo test`; `just conformance` runs those that need
neither hours nor the service's rates against npm `kinesis-local` 0.6.2 and DynamoDB Local 2.6.1, and fails when an
implementation differs where this page does not say so, or no longer differs where it does. These two run in real time: a
check that came out otherwise than expected there is asked once more, alone.

*Holds* is not the same for all: a check is our reading of a sentence, and what another implementation makes of the same sentence is
the second opinion. \"Who is right\" says `reference` when the sentence leaves no doubt, `open` when it can be read both ways.

This page is made by `just conformance-page` from the checks in `integration-tests/src/conformance/` and the list of
differences in `integration-tests/testdata/conformance/`; a test fails when it is not up to date.
";
