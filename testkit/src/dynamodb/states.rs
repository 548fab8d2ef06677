//! Tables and indexes take their time to come and to go.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::request;
use crate::clock::Tick;
use crate::refusal::Refusal;

/// What is not ACTIVE, and until when.
#[derive(Debug, Default)]
pub(crate) struct States {
    tables: BTreeMap<String, State>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// CREATING, its indexes with it.
    Creating(Tick),
    /// UPDATING: these indexes are CREATING.
    Indexing(BTreeMap<String, Tick>),
    /// DELETING.
    Deleting(Tick),
}

impl States {
    /// Forgets what is over and returns the tables that are to go now.
    pub(crate) fn settle(&mut self, now: Tick) -> Vec<String> {
        let mut gone = Vec::new();
        self.tables.retain(|table, state| match state {
            State::Creating(until) => now < *until,
            State::Indexing(indexes) => {
                indexes.retain(|_, until| now < *until);
                !indexes.is_empty()
            }
            State::Deleting(until) => {
                if *until <= now {
                    gone.push(table.clone());
                }
                now < *until
            }
        });
        gone
    }

    pub(crate) fn created(&mut self, table: &str, until: Tick) {
        self.tables.insert(table.to_owned(), State::Creating(until));
    }

    /// The indexes that an UpdateTable has begun to create, and those it deleted.
    pub(crate) fn updated(&mut self, request: &Value, until: Tick) {
        let Some(table) = request::table(request) else { return };
        let mut indexes = match self.tables.remove(table) {
            Some(State::Indexing(indexes)) => indexes,
            _ => BTreeMap::new(),
        };
        indexes.extend(index_updates(request, "Create").map(|index| (index.to_owned(), until)));
        index_updates(request, "Delete").for_each(|index| _ = indexes.remove(index));
        if !indexes.is_empty() {
            self.tables.insert(table.to_owned(), State::Indexing(indexes));
        }
    }

    pub(crate) fn deleted(&mut self, table: &str, until: Tick) {
        self.tables.insert(table.to_owned(), State::Deleting(until));
    }

    pub(crate) fn is_deleting(&self, table: &str) -> bool {
        matches!(self.tables.get(table), Some(State::Deleting(_)))
    }

    pub(crate) fn is_creating(&self, table: &str) -> bool {
        matches!(self.tables.get(table), Some(State::Creating(_)))
    }

    /// Whether the state of its tables allows this request.
    pub(crate) fn check(&self, operation: &str, request: &Value) -> Result<(), Refusal> {
        if self.tables.is_empty() {
            return Ok(());
        }
        match operation {
            "UpdateTable" | "DeleteTable" | "UpdateTimeToLive" | "TagResource" | "UntagResource" => {
                self.check_change(operation, request)
            }
            "CreateTable"
            | "DescribeTable"
            | "DescribeTimeToLive"
            | "ListTables"
            | "ListTagsOfResource"
            | "UpdateContinuousBackups"
            | "DescribeContinuousBackups"
            | "DescribeLimits" => Ok(()),
            _ => self.check_data(request),
        }
    }

    fn check_data(&self, request: &Value) -> Result<(), Refusal> {
        for table in request::tables(request) {
            match self.tables.get(&table) {
                Some(State::Creating(_) | State::Deleting(_)) => {
                    return Err(Refusal::not_found("Requested resource not found".to_owned()));
                }
                Some(State::Indexing(indexes)) => {
                    let index = request.get("IndexName").and_then(Value::as_str);
                    if let Some(index) = index.filter(|index| indexes.contains_key(*index)) {
                        let message = format!("Cannot read from backfilling global secondary index: {index}");
                        return Err(Refusal { status: 400, code: "ValidationException", message });
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    fn check_change(&self, operation: &str, request: &Value) -> Result<(), Refusal> {
        let arn = request.get("ResourceArn").and_then(Value::as_str);
        let tagged = arn.and_then(|arn| arn.rsplit_once('/')).map(|(_, table)| table);
        let Some(table) = request::table(request).or(tagged) else { return Ok(()) };
        let doing = match (self.tables.get(table), operation) {
            (Some(State::Creating(_)), _) => "created",
            // A second DeleteTable is no error: the service says so.
            (Some(State::Deleting(_)), "DeleteTable") => return Ok(()),
            (Some(State::Deleting(_)), _) => "deleted",
            (Some(State::Indexing(indexes)), "UpdateTable") => {
                // An index may be deleted while it is created; everything else waits.
                let mut deletes = index_updates(request, "Delete").peekable();
                if deletes.peek().is_some() && deletes.all(|index| indexes.contains_key(index)) {
                    return Ok(());
                }
                "updated"
            }
            (Some(State::Indexing(_)), "DeleteTable") => "updated",
            _ => return Ok(()),
        };
        let what = "Attempt to change a resource which is still in use";
        Err(Refusal::in_use(format!("{what}: Table is being {doing}: {table}")))
    }

    /// Puts the states into an answer that describes a table.
    pub(crate) fn describe(&self, description: &mut Value) {
        let name = description.get("TableName").and_then(Value::as_str);
        let Some(state) = name.and_then(|name| self.tables.get(name)) else { return };
        let status = match state {
            State::Creating(_) => "CREATING",
            State::Indexing(_) => "UPDATING",
            State::Deleting(_) => "DELETING",
        };
        description["TableStatus"] = status.into();
        let indexes = description.get_mut("GlobalSecondaryIndexes").and_then(Value::as_array_mut);
        for index in indexes.into_iter().flatten() {
            let name = index.get("IndexName").and_then(Value::as_str).unwrap_or_default();
            match state {
                State::Creating(_) => index["IndexStatus"] = "CREATING".into(),
                State::Indexing(creating) if creating.contains_key(name) => {
                    index["IndexStatus"] = "CREATING".into();
                    index["Backfilling"] = json!(true);
                }
                State::Indexing(_) => {}
                State::Deleting(_) => index["IndexStatus"] = "DELETING".into(),
            }
        }
    }
}

/// The indexes that an UpdateTable wants to have created or deleted.
pub(crate) fn index_updates<'a>(request: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let updates = request.get("GlobalSecondaryIndexUpdates").and_then(Value::as_array);
    updates.into_iter().flatten().filter_map(move |update| update.get(kind)?.get("IndexName")?.as_str())
}
