//! The lease of a finished shard: kept alive until clean-up deletes it.

use crate::lease::holder::cleanup::{self, Cleaned};
use crate::lease::holder::renew::{LostReason, Write};
use crate::lease::holder::renewer::LeaseRenewer;

impl LeaseRenewer {
    /// A finished lease needs no reader; it is renewed until clean-up deletes it, since a leader would otherwise take it
    /// for orphaned and give it to one worker after the other.
    pub(super) async fn keep_finished(&mut self) -> Result<(), LostReason> {
        for renewals in 1_u32.. {
            self.publish();
            if self.revoked_at().is_some() {
                return Err(self.give_up().await);
            }
            let renew_at = self.context.clock.instant(self.state.renew_at());
            tokio::select! { biased;
                () = tokio::time::sleep_until(renew_at) => self.write(&Write::Renew).await?,
                () = self.shutdown.begun() => {}
            }
            self.is_usable()?;
            if renewals.is_multiple_of(RENEWALS_A_CLEAN_UP) {
                self.clean_up().await?;
            }
        }
        Ok(())
    }

    /// A Java leader leaves clean-up to the owners; one of ours has done it before this comes to it.
    async fn clean_up(&mut self) -> Result<(), LostReason> {
        match cleanup::delete_if_done(&*self.context.store, self.key()).await {
            Ok(Cleaned::Gone) => Err(LostReason::Deleted),
            Ok(Cleaned::Stays) => Ok(()),
            Ok(Cleaned::Reopened) => {
                tracing::info!(lease = %self.key(), "a finished lease has a checkpoint again: it is released, to be read on");
                Err(self.give_up().await)
            }
            Err(error) => {
                error.log_for(self.key(), "cleaning up a finished lease");
                Ok(())
            }
        }
    }
}

/// With a lease duration of 10 s, one look at the family of a finished lease every half minute.
const RENEWALS_A_CLEAN_UP: u32 = 9;
