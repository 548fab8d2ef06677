//! A worker's way to its table: what it reads before it writes anything.

use std::time::Duration;

use tokio::time::sleep;

use crate::backoff::StartPatience;
use crate::lease::table::belonging::{Belonging, ClaimError, TableOf, Told, misfit, unnamed};
use crate::lease::table::starting::Starting;
use crate::lease::table::store::{Binding, Claim, Entry, PrepareError, Rows, StoreError, Written};
use crate::lease::{OtherStream, UnixSeconds, WorkerId};
use crate::shard::absence::LookUp;
use crate::shard::discover::ListFilter;
use crate::shard::{DiscoverError, ListedShard};
use crate::watch::FindingKind;

/// What the operator says about the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Word {
    #[default]
    Nothing,
    /// It is this stream's, though nothing in it tells.
    Adopt,
    /// It was the table of that stream, and is to serve this one from now on.
    StartOverFrom(String),
}

/// Why a worker may not work on the table.
#[derive(Debug)]
pub(crate) enum EntryError {
    Another(OtherStream),
    Table(PrepareError),
    Stream(DiscoverError),
}

/// What was found before the first write.
enum Found {
    /// Bound to this stream, or to be bound in the write that makes the version row.
    Settled,
    /// Not bound, and the rows or the operator prove that it is this stream's.
    Proven,
    /// Not bound, and nothing tells.
    Open,
    /// Another stream's, and the operator says to start over.
    StartOver { in_place_of: Option<String> },
}

impl Belonging {
    /// Finds out whose the table is, and makes it ready; refuses another stream's before any write.
    pub(crate) async fn enter(
        &self,
        worker: &WorkerId,
        now: UnixSeconds,
        listing: &[ListedShard],
        word: &Word,
        patience: &StartPatience,
    ) -> Result<(), EntryError> {
        let trying = || Starting::new(seed_of(worker), patience);
        let found = self.find_out(listing, word, &trying).await?;
        let entry = Entry { stream: self.text.as_deref(), patience: Some(patience), ..Entry::of(worker, now) };
        self.store.prepare(entry).await.map_err(EntryError::Table)?;
        if let Found::StartOver { in_place_of } = &found {
            self.start_over(in_place_of.as_deref(), &trying).await?;
        }
        // Another worker may have been faster, and of another stream.
        match self.patiently(trying(), || self.store.binding()).await? {
            Binding::To(stream) => self.judge(stream).map_err(EntryError::from)?,
            Binding::New | Binding::Unbound => {
                if matches!(found, Found::Proven) {
                    self.claim_patiently(trying()).await?;
                } else {
                    tracing::info!(
                        table = self.table,
                        stream = self.name,
                        "the lease table does not say which stream it is of, and no checkpoint in it tells; it is bound to this one at the first"
                    );
                }
            }
        }
        Ok(())
    }

    async fn find_out(
        &self,
        listing: &[ListedShard],
        word: &Word,
        trying: &(impl Fn() -> Starting + Sync),
    ) -> Result<Found, EntryError> {
        let is_said = |stream: &str| matches!(word, Word::StartOverFrom(said) if said == stream);
        match self.patiently(trying(), || self.store.binding()).await? {
            Binding::New => Ok(Found::Settled),
            Binding::To(stream) => match self.judge(stream.clone()) {
                Ok(()) => Ok(Found::Settled),
                Err(_) if self.text.is_some() && is_said(&stream) => Ok(Found::StartOver { in_place_of: Some(stream) }),
                Err(error) => Err(error.into()),
            },
            Binding::Unbound => {
                let rows = self.patiently(trying(), || self.store.scan()).await?;
                let told = self.told(&rows).await.map_err(EntryError::Stream)?;
                let told = match told {
                    Told::Nothing => self.fits(listing, &rows).await.map_err(EntryError::Stream)?,
                    told => told,
                };
                match told {
                    Told::This => Ok(Found::Proven),
                    Told::Nothing if *word == Word::Adopt => Ok(Found::Proven),
                    Told::Nothing => Ok(Found::Open),
                    Told::Another(which) => {
                        let other =
                            self.settle_on_another(which, self.text.as_deref().unwrap_or(&self.name).to_owned());
                        let unnamed = unnamed(&self.table);
                        let is_unnamed = other.bound_to.starts_with(&unnamed) && is_said(&unnamed);
                        if self.text.is_some() && (is_unnamed || is_said(&other.bound_to)) {
                            return Ok(Found::StartOver { in_place_of: None });
                        }
                        Err(ClaimError::Another(other).into())
                    }
                }
            }
        }
    }

    /// Whether the leases fit the stream; where one is newer than the listing, after a few more.
    async fn fits(&self, listing: &[ListedShard], rows: &Rows) -> Result<Told, DiscoverError> {
        let mut listing = listing.to_vec();
        let is_newer = |listing: &[ListedShard]| {
            rows.leases.iter().any(|lease| LookUp::of(&lease.key.shard(), listing) == LookUp::NotYet)
        };
        for _ in 0..LISTINGS {
            if !is_newer(&listing) {
                break;
            }
            let Some(discover) = &self.discover else { break };
            sleep(BETWEEN_LISTINGS).await;
            listing = discover.list(ListFilter::All).await?;
        }
        Ok(misfit(&self.table, &listing, rows).map_or(Told::Nothing, Told::Another))
    }

    /// Empties the table of another stream and binds it to this one. The leases go first: a start that dies on the way begins again.
    /// A second worker that starts over at the same time deletes no lease that is made after the binding, for such a lease names this stream.
    async fn start_over(
        &self,
        in_place_of: Option<&str>,
        trying: &(impl Fn() -> Starting + Sync),
    ) -> Result<(), EntryError> {
        let Some(text) = &self.text else { return Ok(()) };
        tracing::warn!(table = self.table, from = in_place_of, stream = %text, "starting over: the leases of the other stream are deleted");
        loop {
            let rows = self.patiently(trying(), || self.store.scan()).await?;
            let keys = rows.leases.iter().map(|lease| lease.key.clone());
            let keys: Vec<_> = keys.chain(rows.unreadable.iter().map(|(key, _)| key.as_str().into())).collect();
            let mut deleted = 0;
            for key in keys {
                let written = self.patiently(trying(), || self.store.delete_foreign(&key, text)).await?;
                deleted += usize::from(matches!(written, Written::Accepted(_)));
            }
            if deleted == 0 {
                break;
            }
        }
        let claim = Claim { stream: text, in_place_of };
        self.table_of.send_replace(TableOf::Unknown);
        self.findings.mended(FindingKind::OtherStream, &self.table);
        // Refused: another worker has done the same, or something else; what is bound then is looked at next.
        self.patiently(trying(), || self.store.bind(claim)).await?;
        Ok(())
    }

    /// Claims the table; a call that failed for its moment is repeated.
    async fn claim_patiently(&self, mut starting: Starting) -> Result<(), EntryError> {
        loop {
            let turn = self.turn.acquire().await;
            let claimed = self.claim_in_turn(true).await;
            drop(turn);
            match claimed {
                Err(ClaimError::Store(error)) => self.failed(&mut starting, error).await?,
                outcome => return outcome.map_err(EntryError::from),
            }
        }
    }

    /// Repeats a call that failed for its moment.
    async fn patiently<T, F>(&self, mut starting: Starting, mut call: impl FnMut() -> F) -> Result<T, EntryError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match call().await {
                Ok(outcome) => return Ok(outcome),
                Err(error) => self.failed(&mut starting, error).await?,
            }
        }
    }

    async fn failed(&self, starting: &mut Starting, error: StoreError) -> Result<(), EntryError> {
        starting.failed(error, &self.table, &self.store.place()).await.map_err(EntryError::Table)
    }
}

/// Keeps a fleet that starts in one moment from coming again in one moment.
fn seed_of(worker: &WorkerId) -> u64 {
    worker.as_str().bytes().fold(0, |seed, byte| seed.rotate_left(9) ^ u64::from(byte))
}

impl From<ClaimError> for EntryError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Another(other) => Self::Another((*other).clone()),
            ClaimError::Store(error) => Self::Table(error.into()),
            ClaimError::Stream(error) => Self::Stream(error),
        }
    }
}

/// A listing lags behind a reshard by a second or two, and another stream is to be told within five.
const LISTINGS: u32 = 3;
const BETWEEN_LISTINGS: Duration = Duration::from_secs(1);
