//! Making the table ready, and staying away from one that is not ours to write to.
//!
//! Everything that can refuse is looked at before the first write.

use std::time::Duration;

use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{AttributeValue, TableDescription};
use tokio::time::{Instant, sleep};

use crate::backoff::StartPatience;
use crate::lease::table::dynamodb::DynamoDbLeaseStore;
use crate::lease::table::dynamodb::answer::{Failure, call, condition_held};
use crate::lease::table::dynamodb::item::{self, Item, Row, n, s, text};
use crate::lease::table::dynamodb::refused;
use crate::lease::table::dynamodb::table::{self, State};
use crate::lease::table::starting::Starting;
use crate::lease::{Binding, Claim, Entry, PrepareError, StoreError};

/// What the version row says about who may work on the table.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fleet {
    /// Nobody: there is no such row, and no lease.
    New,
    /// Workers of the KCL 3.x, or of ours.
    Version3,
}

impl DynamoDbLeaseStore {
    /// Makes the table ready. Every step can be taken twice, so a call that failed for its moment starts them anew.
    pub(super) async fn make_ready(&self, entry: Entry<'_>) -> Result<(), PrepareError> {
        let (worker, now) = (entry.worker, entry.now);
        let seed = worker.as_str().bytes().fold(now.0, |seed, byte| seed.rotate_left(9) ^ u64::from(byte));
        let patience = entry.patience.cloned().unwrap_or_else(StartPatience::new);
        let mut starting = Starting::new(seed, &patience);
        loop {
            match self.try_make_ready(entry, &patience).await {
                Err(PrepareError::Store(error)) => starting.failed(error, &self.table, &self.place).await?,
                outcome => return outcome,
            }
        }
    }

    async fn try_make_ready(&self, entry: Entry<'_>, patience: &StartPatience) -> Result<(), PrepareError> {
        let worker = entry.worker;
        if RESERVED.contains(&worker.as_str()) || worker.as_str().is_empty() {
            return Err(self.refuse(format!("the worker id {worker:?} is the key of a row of the protocol")));
        }
        let other_layout = self.look_for_other_layout().await?;
        let is_made = |state: &State| !matches!(state, State::Changing(_));
        let (description, state) = self.wait_for(is_made, TABLE_WITHIN, patience).await?;
        let fleet = self.fleet(other_layout.as_deref()).await?;
        if state == State::WithoutIndex {
            self.add_index(&description).await?;
        }
        if fleet == Fleet::New {
            self.found(entry).await?;
        }
        // Boxed: the SDK's futures are large.
        let ready = Box::pin(self.wait_for(|state| *state == State::Ready, INDEX_WITHIN, patience));
        let allowed = Box::pin(async { self.try_actions(worker).await.map_err(PrepareError::from) });
        tokio::try_join!(ready, allowed).map(drop)
    }

    /// The three-table layout of KCL 3.0–3.4 shows by its coordinator table. Workers of those versions stop at a row of
    /// ours in the lease table. Returns a remark if the table may not be looked for.
    async fn look_for_other_layout(&self) -> Result<Option<String>, PrepareError> {
        let name = format!("{}-CoordinatorState", self.table);
        match self.try_describe(&name).await {
            Ok(None) => Ok(None),
            Ok(Some(_)) if self.is_migrated().await? => Ok(None),
            Ok(Some(_)) => Err(self.refuse(format!(
                "{name} exists, so this application keeps its state in three tables (KCL 3.0 to 3.4); \
                 move it to the single-table layout of KCL 3.5 first"
            ))),
            Err(failure) if failure.code() == Some("AccessDeniedException") => {
                let remark = format!("whether {name} exists cannot be told: allow dynamodb:DescribeTable on it");
                tracing::warn!(remark);
                Ok(Some(format!(" ({remark})")))
            }
            Err(failure) => Err(failure.into_store_error("describe_table").into()),
        }
    }

    /// The old tables stay when the KCL 3.5 has moved everything into the lease table, and says so there.
    async fn is_migrated(&self) -> Result<bool, PrepareError> {
        match self.get("prepare", "TableMigration3.5").await {
            Ok(row) => Ok(row.is_some_and(|row| text(&row, "tm") == Ok(Some("TABLE_MIGRATION_STATUS_COMPLETE")))),
            Err(StoreError::NoTable(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn fleet(&self, remark: Option<&str>) -> Result<Fleet, PrepareError> {
        if let Some(row) = self.version_row().await? {
            return self.judge_version(&row);
        }
        if !self.has_leases().await? {
            return Ok(Fleet::New);
        }
        // A worker that started with us wrote its row and the leases between our two looks: the row comes first.
        match self.version_row().await? {
            Some(row) => self.judge_version(&row),
            None => Err(self.refuse(format!(
                "it holds leases but no row {VERSION_KEY}, so a KCL 1.x or 2.x application works on it, whose workers \
                 stop at rows of other kinds; move it to the KCL 3.x first{}",
                remark.unwrap_or_default()
            ))),
        }
    }

    fn judge_version(&self, row: &Item) -> Result<Fleet, PrepareError> {
        let why = match text(row, "cv").ok().flatten() {
            Some(VERSION_3) => return Ok(Fleet::Version3),
            Some(found @ "CLIENT_VERSION_3X_WITH_ROLLBACK") => {
                format!(
                    "its fleet may still be rolled back to the KCL 2.x ({found}); start one Java worker of version 3.x for good first"
                )
            }
            Some(found @ ("CLIENT_VERSION_UPGRADE_FROM_2X" | "CLIENT_VERSION_2X")) => {
                format!("its fleet still works by the rules of the KCL 2.x ({found}); complete the move to 3.x first")
            }
            found => format!("its row {VERSION_KEY} names no version that is known here ({found:?})"),
        };
        Err(self.refuse(why))
    }

    /// What the version row says of the stream of the table.
    pub(super) async fn bound_to(&self) -> Result<Binding, StoreError> {
        let row = match self.get("GetItem", VERSION_KEY).await {
            Ok(Some(row)) => row,
            Ok(None) | Err(StoreError::NoTable(_)) => return Ok(Binding::New),
            Err(error) => return Err(error),
        };
        let stream = text(&row, item::BOUND_TO).map_err(|problem| refused("binding", problem))?;
        Ok(stream.map_or(Binding::Unbound, |stream| Binding::To(stream.to_owned())))
    }

    /// Never an upsert: a version row without a version stops the KCL for good.
    pub(super) async fn claim(&self, claim: Claim<'_>) -> Result<bool, StoreError> {
        let bound =
            if claim.in_place_of.is_some() { "boundToStream = :before" } else { "attribute_not_exists(boundToStream)" };
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(item::KEY, s(VERSION_KEY))
            .update_expression("SET boundToStream = :stream")
            .condition_expression(format!("attribute_exists(cv) AND {bound}"))
            .expression_attribute_values(":stream", s(claim.stream));
        if let Some(before) = claim.in_place_of {
            update = update.expression_attribute_values(":before", s(before));
        }
        condition_held("bind", call(self.call_timeout, "bind", update.send()).await)
    }

    async fn version_row(&self) -> Result<Option<Item>, StoreError> {
        self.get("prepare", VERSION_KEY).await
    }

    /// Whether there is a lease, or a row that may be one.
    async fn has_leases(&self) -> Result<bool, StoreError> {
        let rows = self.all_rows("prepare", true).await?;
        Ok(rows.iter().any(|row| !matches!(Row::read(row), Ok(Row::Worker(_) | Row::Lock(_) | Row::Other))))
    }

    /// Writes the version row of a new application. Its history has one entry, as the KCL's has: the state before the first.
    async fn found(&self, Entry { worker, now, stream, .. }: Entry<'_>) -> Result<(), PrepareError> {
        let before =
            [("cv", s("CLIENT_VERSION_INIT")), ("mb", s(worker.as_str())), ("mts", n(now.0.saturating_mul(1000)))];
        let before = before.map(|(name, value)| (name.to_owned(), value)).into();
        let row = [
            (item::KEY, s(VERSION_KEY)),
            (item::ENTITY_TYPE, s("CLIENT_VERSION_MIGRATION")),
            ("cv", s(VERSION_3)),
            ("mb", s(worker.as_str())),
            ("mts", n(now.0.saturating_mul(1000))),
            ("h", AttributeValue::L(vec![AttributeValue::M(before)])),
        ];
        let mut row: Item = row.map(|(name, value)| (name.to_owned(), value)).into();
        if let Some(stream) = stream {
            row.insert(item::BOUND_TO.to_owned(), s(stream));
        }
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(row))
            .condition_expression("attribute_not_exists(leaseKey)");
        if condition_held("prepare", call(self.call_timeout, "prepare", put.send()).await)? {
            return Ok(());
        }
        // Another worker was faster; it may be of another kind.
        let row = self.version_row().await?.unwrap_or_default();
        self.judge_version(&row).map(drop)
    }

    async fn create_table(&self) -> Result<(), StoreError> {
        let create = self.options.apply(self.client.create_table().table_name(&self.table));
        self.unless_in_use("create_table", call(self.call_timeout, "create_table", create.send()).await)
    }

    async fn add_index(&self, table: &TableDescription) -> Result<(), StoreError> {
        let update = self
            .client
            .update_table()
            .table_name(&self.table)
            .set_attribute_definitions(Some(table::index_attributes()))
            .global_secondary_index_updates(table::index_update(table));
        tracing::info!(table = self.table, "adding the index {} to the lease table", table::INDEX);
        let answer = call(self.call_timeout, "update_table", update.send()).await;
        match self.unless_in_use("update_table", answer) {
            // Said instead when the other worker's index is there already.
            Err(StoreError::Refused { .. }) if self.has_index().await? => Ok(()),
            answer => answer,
        }
    }

    async fn has_index(&self) -> Result<bool, StoreError> {
        let table = self.describe().await?;
        Ok(table.is_some_and(|t| !matches!(table::judge(&t), Ok(State::WithoutIndex))))
    }

    /// In use means that another worker is making the same thing.
    fn unless_in_use<T, E>(&self, operation: &'static str, answer: Result<T, Failure<E>>) -> Result<(), StoreError>
    where
        E: aws_sdk_dynamodb::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match answer {
            Ok(_) => Ok(()),
            Err(failure) if failure.code() == Some("ResourceInUseException") => Ok(()),
            Err(failure) => Err(failure.into_store_error(operation)),
        }
    }

    async fn describe(&self) -> Result<Option<TableDescription>, StoreError> {
        self.try_describe(&self.table).await.map_err(|e| e.into_store_error("describe_table"))
    }

    async fn try_describe(&self, table: &str) -> Result<Option<TableDescription>, Failure<DescribeTableError>> {
        let describe = self.client.describe_table().table_name(table);
        match call(self.call_timeout, "describe_table", describe.send()).await {
            Ok(output) => Ok(output.table),
            Err(failure) if failure.code() == Some("ResourceNotFoundException") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Looks until the table is as wanted, and creates it if it is absent: often at first, since an engine in the process
    /// answers at once. Once the table is known to be in the making this time is none of the start's patience, and neither are calls that
    /// fail for their moment: a whole fleet may be looking.
    async fn wait_for(
        &self,
        wanted: impl Fn(&State) -> bool + Send,
        within: Duration,
        patience: &StartPatience,
    ) -> Result<(TableDescription, State), PrepareError> {
        let start = Instant::now();
        let mut pause = FIRST_LOOK;
        let mut is_in_the_making = false;
        loop {
            let looked = Instant::now();
            let status = match self.describe().await {
                Ok(Some(table)) => match table::judge(&table).map_err(|why| self.refuse(why))? {
                    state if wanted(&state) => return Ok((table, state)),
                    State::Changing(status) => status,
                    State::WithoutIndex | State::Ready => "without its index".to_owned(),
                },
                Ok(None) => match self.create_table().await {
                    Err(error) if !(is_in_the_making && error.is_retryable()) => return Err(error.into()),
                    _ => "being created".to_owned(),
                },
                Err(error) if is_in_the_making && error.is_retryable() => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            let waited = start.elapsed();
            if waited >= within {
                return Err(PrepareError::NotActive { table: self.table.clone(), status, waited });
            }
            tracing::debug!(table = self.table, status, "waiting for the lease table");
            is_in_the_making = true;
            sleep(pause).await;
            patience.apart(looked.elapsed());
            pause = (pause * 2).min(LAST_LOOK);
        }
    }

    fn refuse(&self, reason: String) -> PrepareError {
        PrepareError::Refused { table: self.table.clone(), reason }
    }
}

const VERSION_KEY: &str = "Migration3.0";
const VERSION_3: &str = "CLIENT_VERSION_3X";
/// Keys of the protocol's own rows, which share one key space with the workers' ids.
const RESERVED: [&str; 3] = [item::LEADER_KEY, VERSION_KEY, "TableMigration3.5"];
/// How long the KCL waits for a table, and for an index that DynamoDB fills from a large table.
const TABLE_WITHIN: Duration = Duration::from_secs(600);
const INDEX_WITHIN: Duration = Duration::from_secs(3600);
/// An engine in the process has the table at once, the service in some seconds.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
