//! The account at the end, as a table for people or as one line of JSON.

use std::fmt::Display;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::account::{Account, Balance};

/// What the last line says with `--json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) lines_in: u64,
    /// Deliveries: a line delivered twice counts twice.
    pub(crate) lines_out: u64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) kinesis_records: u64,
    pub(crate) put_requests: u64,
    pub(crate) workers_killed: u32,
    pub(crate) shards_split: u32,
    pub(crate) seconds: f64,
}

/// The table of a run.
pub(crate) fn table(summary: &Summary, balance: &Balance, account: &Account) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let per_kinesis_record = balance.lines_written as f64 / (balance.kinesis_records.max(1)) as f64;
    let mut table = two_columns();
    row(&mut table, "lines in", summary.lines_in);
    row(&mut table, "lines out", summary.lines_out);
    row(&mut table, "lost", summary.lost);
    row(&mut table, "altered", balance.altered);
    row(&mut table, "out of order in an epoch", balance.out_of_order);
    row(&mut table, "duplicates", summary.duplicates);
    row(&mut table, "Kinesis records", summary.kinesis_records);
    row(&mut table, "user records per Kinesis record", format!("{per_kinesis_record:.1}"));
    row(&mut table, "PutRecords calls", summary.put_requests);
    row(&mut table, "shards split", summary.shards_split);
    row(&mut table, "workers killed", summary.workers_killed);
    row(&mut table, "seconds", format!("{:.1}", summary.seconds));
    for (what, counts) in [("lines by shard", account.per_shard()), ("lines by worker", account.per_worker())] {
        row(&mut table, what, "");
        for (name, count) in counts {
            row(&mut table, format!("  {name}"), count);
        }
    }
    table.to_string()
}

fn two_columns() -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table
}

fn row(table: &mut Table, what: impl Display, figure: impl Display) {
    table.add_row([what.to_string(), figure.to_string()]);
    if let Some(figures) = table.column_mut(1) {
        figures.set_cell_alignment(CellAlignment::Right);
    }
}
