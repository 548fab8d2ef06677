//! Which stream the lease table belongs to, and whether that is the one that this worker reads.
//!
//! The rules are `which-stream` and `binding` in `docs/rules.md`. A table is bound to its stream in its version row. Where a
//! library made it that keeps no such note, only a stored number tells: the service refuses the number of another stream. That a
//! listing fits proves nothing, for two streams of equal shape have equal shard IDs and ranges.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock, Tick};
use crate::lease::table::mismatch;
use crate::lease::table::store::{Binding, Claim, LeaseStore, Rows, StoreError};
use crate::lease::{Checkpoint, Lease};
use crate::shard::absence::LookUp;
use crate::shard::discover::Discover;
use crate::shard::identity::StreamIdentity;
use crate::shard::{DiscoverError, ListedShard};
use crate::thread::Home;
use crate::watch::{FindingKind, Findings, Report};

pub(crate) use self::entry::{EntryError, Word};
pub(crate) use self::known::Fit;

use self::known::Known;

mod entry;
mod known;
#[cfg(test)]
mod tests;

/// The lease table belongs to another stream than the one that the worker reads: one of another name, account or time of
/// creation, so also one that was deleted and made again under its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the lease table {table} belongs to the stream {bound_to}, and this worker reads {stream}: correct the stream or the \
     application's name; if the table is to be emptied and serve this stream from now on, say so by `start_over_from`"
)]
#[non_exhaustive]
pub struct OtherStream {
    /// The table.
    pub table: String,
    /// The stream that the table belongs to: its ARN and when it was made, in seconds since 1970.
    pub bound_to: String,
    /// The stream that the worker reads.
    pub stream: String,
}

/// Whose the table is, as far as this worker knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TableOf {
    /// This stream's: it is bound to it.
    This,
    /// This stream's or another's: it is not bound, or which stream this is cannot be found out.
    Unknown,
    Another(Arc<OtherStream>),
}

/// Whether the stream is still the one that it was when the worker started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmed {
    Same,
    /// The service does not tell this worker which stream it is.
    Untold,
    /// It could not be asked just now.
    Later,
    Another(Arc<OtherStream>),
}

/// A claim to the table did not come to an end, or to a bad one.
#[derive(Debug)]
pub(crate) enum ClaimError {
    Another(Arc<OtherStream>),
    /// For this moment.
    Store(StoreError),
    /// For this moment.
    Stream(DiscoverError),
}

/// What the rows of an unbound table tell about its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    This,
    Nothing,
    /// Of another stream, or of several: which, in words.
    Another(String),
}

pub(crate) struct Belonging {
    table: String,
    store: Arc<dyn LeaseStore>,
    /// `None`: for a worker that asks nobody.
    discover: Option<Arc<Discover>>,
    clock: Arc<Clock>,
    findings: Findings,
    /// The stream as the user names it.
    name: String,
    /// The stream as it was at the start.
    this: Option<StreamIdentity>,
    text: Option<Arc<str>>,
    table_of: watch::Sender<TableOf>,
    /// When the stream was last asked which one it is, and said: this one.
    confirmed: Mutex<Option<Tick>>,
    /// One question at a time is asked for all of the worker.
    turn: Semaphore,
    /// Where leases are kept.
    home: Home,
    known: Mutex<Known>,
    /// Whether the table has had leases since this worker came up.
    had_leases: AtomicBool,
}

impl Belonging {
    pub(crate) fn new(
        table: String,
        store: Arc<dyn LeaseStore>,
        discover: Arc<Discover>,
        clock: Arc<Clock>,
        findings: Findings,
        name: String,
        this: Option<StreamIdentity>,
    ) -> Self {
        let text = this.as_ref().map(|stream| Arc::from(stream.to_string()));
        let confirmed = Mutex::new(this.as_ref().map(|_| clock.now()));
        let table_of = watch::channel(TableOf::Unknown).0;
        let turn = Semaphore::new(1);
        Self {
            table,
            store,
            discover: Some(discover),
            clock,
            findings,
            name,
            this,
            text,
            table_of,
            confirmed,
            turn,
            home: Home::default(),
            known: Mutex::default(),
            had_leases: AtomicBool::new(false),
        }
    }

    /// The same, with its questions asked there.
    pub(crate) fn asking_at(self, home: &Home) -> Self {
        Self { home: home.clone(), ..self }
    }

    /// For tests that are about something else: the table is this stream's, and nobody is asked.
    #[cfg(test)]
    pub(crate) fn settled(store: Arc<dyn LeaseStore>, clock: Arc<Clock>) -> Self {
        Self {
            table: "app".to_owned(),
            store,
            discover: None,
            findings: Findings::new(Arc::clone(&clock), "me"),
            clock,
            name: "clicks".to_owned(),
            this: None,
            text: None,
            table_of: watch::channel(TableOf::This).0,
            confirmed: Mutex::default(),
            turn: Semaphore::new(1),
            home: Home::default(),
            known: Mutex::default(),
            had_leases: AtomicBool::new(false),
        }
    }

    /// For tests that are about something else: whose the table is cannot be found out.
    #[cfg(test)]
    pub(crate) fn unsettled(store: Arc<dyn LeaseStore>, clock: Arc<Clock>) -> Self {
        Self { table_of: watch::channel(TableOf::Unknown).0, ..Self::settled(store, clock) }
    }

    /// The table has leases, so that an empty one is no new one for as long as this worker lives (rule *the leases*).
    pub(crate) fn note_leases(&self) {
        self.had_leases.store(true, Ordering::Relaxed);
    }

    pub(crate) fn had_leases(&self) -> bool {
        self.had_leases.load(Ordering::Relaxed)
    }

    /// The table's name.
    pub(crate) fn table(&self) -> &str {
        &self.table
    }

    /// Whether the table is known to be this stream's.
    pub(crate) fn is_ours(&self) -> bool {
        *self.table_of.borrow() == TableOf::This
    }

    /// Whose the table is if it is another stream's.
    pub(crate) fn another(&self) -> Option<Arc<OtherStream>> {
        match &*self.table_of.borrow() {
            TableOf::Another(other) => Some(Arc::clone(other)),
            TableOf::This | TableOf::Unknown => None,
        }
    }

    /// Resolves when the table is found to be another stream's. Cancel safe.
    pub(crate) async fn found_to_be_anothers(&self) -> Arc<OtherStream> {
        let mut table_of = self.table_of.subscribe();
        loop {
            if let TableOf::Another(other) = &*table_of.borrow_and_update() {
                return Arc::clone(other);
            }
            if table_of.changed().await.is_err() {
                // Never: the sender is here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// What leases that this worker makes say of their stream.
    pub(crate) fn of_new_leases(&self) -> Option<Arc<str>> {
        self.text.clone().filter(|_| self.is_ours())
    }

    /// Whether a lease says that it is another stream's. `false` also where it says nothing.
    pub(crate) fn is_foreign(&self, lease: &Lease) -> bool {
        let (Some(this), Some(stream)) = (&self.this, lease.bound_to.as_deref()) else { return false };
        !stream.parse().is_ok_and(|stream| this.is(&stream))
    }

    /// Asks the service whether the stream is still the one that it was, unless it has said so at `since` or later.
    ///
    /// Asked where leases are kept: user code that blocks its thread would hold up all that waits for its turn.
    pub(crate) async fn confirm(self: &Arc<Self>, since: Tick) -> Confirmed {
        let this = Arc::clone(self);
        let confirmed = self.home.run(async move { this.confirm_here(since).await }).await;
        // No thread any more: the worker is gone.
        confirmed.unwrap_or(Confirmed::Later)
    }

    /// The same, for tasks that keep leases.
    async fn confirm_here(&self, since: Tick) -> Confirmed {
        let (Some(this), Some(discover)) = (&self.this, &self.discover) else { return Confirmed::Untold };
        let _turn = self.turn.acquire().await;
        if let Some(other) = self.another() {
            return Confirmed::Another(other);
        }
        if self.last_confirmed().is_some_and(|at| at >= since) {
            return Confirmed::Same;
        }
        let asked = self.clock.now();
        match discover.identity().await {
            None => Confirmed::Later,
            Some(now) if this.is(&now) => {
                *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
                Confirmed::Same
            }
            Some(now) => Confirmed::Another(self.settle_on_another(this.to_string(), now.to_string())),
        }
    }

    fn last_confirmed(&self) -> Option<Tick> {
        *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure, before the first checkpoint, that the table is this stream's: binds it if it is bound to none.
    pub(crate) async fn claim(&self) -> Result<(), ClaimError> {
        if self.is_ours() {
            return Ok(());
        }
        let _turn = self.turn.acquire().await;
        self.claim_in_turn(true).await
    }

    /// Looks at the table's binding again: on becoming leader, and with each look at the stream. A binding that is gone (a move
    /// of the table by the KCL can lose it) is written again; one that was never there, once the rows prove it.
    pub(crate) async fn look_again(&self) -> Result<(), ClaimError> {
        let _turn = self.turn.acquire().await;
        if let Some(other) = self.another() {
            return Err(ClaimError::Another(other));
        }
        match self.store.binding().await.map_err(ClaimError::Store)? {
            Binding::To(stream) => self.judge(stream),
            Binding::New | Binding::Unbound => self.claim_in_turn(self.is_ours()).await,
        }
    }

    /// `by_own_word`: although no number is stored that tells.
    async fn claim_in_turn(&self, by_own_word: bool) -> Result<(), ClaimError> {
        if let Some(other) = self.another() {
            return Err(ClaimError::Another(other));
        }
        let Some(text) = &self.text else { return Ok(()) };
        if !self.is_ours() {
            let rows = self.store.scan().await.map_err(ClaimError::Store)?;
            match self.told(&rows).await.map_err(ClaimError::Stream)? {
                Told::Another(which) => {
                    return Err(ClaimError::Another(self.settle_on_another(which, text.to_string())));
                }
                Told::Nothing if !by_own_word => return Ok(()),
                Told::Nothing | Told::This => {}
            }
        }
        let claim = Claim { stream: text, in_place_of: None };
        if self.store.bind(claim).await.map_err(ClaimError::Store)? {
            tracing::info!(table = self.table, stream = %text, "the lease table is bound to the stream from now on");
            self.table_of.send_replace(TableOf::This);
            return Ok(());
        }
        match self.store.binding().await.map_err(ClaimError::Store)? {
            Binding::To(stream) => self.judge(stream),
            // No version row: an operator is at work. The next look shows what comes of it.
            Binding::New | Binding::Unbound => Ok(()),
        }
    }

    /// Records which stream the table says that it belongs to.
    fn judge(&self, stream: String) -> Result<(), ClaimError> {
        let bound: Option<StreamIdentity> = stream.parse().ok();
        let table_of = match (&self.this, &bound) {
            (Some(this), Some(bound)) if this.is(bound) => TableOf::This,
            // Which stream this is cannot be asked, but not that it has another name.
            (None, Some(bound)) if bound.is_named(&self.name) => TableOf::Unknown,
            (this, _) => {
                let this = this.as_ref().map_or_else(|| self.name.clone(), ToString::to_string);
                return Err(ClaimError::Another(self.settle_on_another(stream, this)));
            }
        };
        self.table_of.send_replace(table_of);
        Ok(())
    }

    fn settle_on_another(&self, bound_to: String, stream: String) -> Arc<OtherStream> {
        let other = Arc::new(OtherStream { table: self.table.clone(), bound_to, stream });
        let next = "this worker ends, and writes no checkpoint";
        self.findings.report(Report::new(FindingKind::OtherStream, &self.table, &other, next));
        self.table_of.send_replace(TableOf::Another(Arc::clone(&other)));
        other
    }

    /// What the rows of an unbound table tell: its keys, what leases of ours say, and what the service says of stored numbers. One
    /// number that it takes is proof; that it refuses one and takes none is as well.
    async fn told(&self, rows: &Rows) -> Result<Told, DiscoverError> {
        let (Some(this), Some(discover)) = (&self.this, &self.discover) else { return Ok(Told::Nothing) };
        if let Some(lease) = rows.leases.iter().find(|lease| is_of_several_streams(lease)) {
            return Ok(Told::Another(format!("of an application of several streams (lease {})", lease.key)));
        }
        let unreadable = rows.unreadable.iter().find(|(key, _)| names_a_stream(key));
        if let Some((key, _)) = unreadable {
            return Ok(Told::Another(format!("of an application of several streams (lease {key})")));
        }
        if let Some(stream) = rows.leases.iter().find_map(|lease| lease.bound_to.as_deref()) {
            let is_this = stream.parse().is_ok_and(|stream| this.is(&stream));
            return Ok(if is_this { Told::This } else { Told::Another(stream.to_owned()) });
        }
        let mut refused = false;
        for lease in rows.leases.iter().filter(|lease| matches!(lease.checkpoint, Checkpoint::At(_))).take(ASK_AT_MOST)
        {
            let Checkpoint::At(position) = &lease.checkpoint else { continue };
            match discover.holds(&lease.key.shard(), &position.sequence_number).await? {
                Some(true) => return Ok(Told::This),
                Some(false) => refused = true,
                None => {}
            }
        }
        Ok(if refused { Told::Another(unnamed(&self.table)) } else { Told::Nothing })
    }
}

/// Whether the lease is of a table that serves several streams.
pub(crate) fn is_of_several_streams(lease: &Lease) -> bool {
    lease.stream.is_some() || names_a_stream(lease.key.as_str())
}

/// Whether a key is `account:stream:epoch:shard`.
fn names_a_stream(key: &str) -> bool {
    let mut fields = key.split(':');
    let is_number = |field: Option<&str>| {
        field.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    is_number(fields.next())
        && fields.next().is_some_and(|stream| !stream.is_empty())
        && is_number(fields.next())
        && fields.next().is_some_and(|shard| !shard.is_empty())
        && fields.next().is_none()
}

/// What in the rows does not fit the listing of the stream, in words.
fn misfit(table: &str, listing: &[ListedShard], rows: &Rows) -> Option<String> {
    if let Some(mismatch) = mismatch::mismatches(listing, rows).first() {
        return Some(format!("{} ({mismatch})", unnamed(table)));
    }
    let newer = rows.leases.iter().find(|lease| LookUp::of(&lease.key.shard(), listing) == LookUp::NotYet)?;
    Some(format!("{} (it has the lease {}, and this stream has no such shard)", unnamed(table), newer.key))
}

impl fmt::Debug for Belonging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Belonging").field("table", &self.table).field("this", &self.this).finish_non_exhaustive()
    }
}

/// One number tells, if the service knows its shard still; a table has few that tell nothing.
const ASK_AT_MOST: usize = 20;

/// In place of a stream's ARN. It names the table: an operator who says it means this one, and not whichever comes to be configured.
pub(crate) fn unnamed(table: &str) -> String {
    format!("that {table} does not name")
}
