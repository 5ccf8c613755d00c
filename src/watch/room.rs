//! What a connection keeps to be understood later, and how it makes do with little.

use crate::budget::Budget;
use crate::mail::input::Kept;

use super::one::Watch;

impl Watch {
    /// Tells the budget what it keeps and could do without.
    #[inline]
    pub(super) fn account(&mut self, budget: &mut Budget) {
        let holds = self.holds.iter().filter(|hold| !hold.is_empty());
        let session = self.session.as_ref().map_or(0, |session| session.keeps());
        let tls = self.tls.as_ref().map_or(0, |tls| tls.keeps());
        let bytes = holds.map(Kept::keeps).sum::<usize>() + session + tls;
        budget.account(&mut self.share, bytes);
    }

    /// Keeps only a little from here on, or as much as ever.
    pub(super) fn tighten(&mut self, tight: bool) {
        self.tight = tight;
        if let Some(session) = &mut self.session {
            session.core().tight = tight;
        }
        if let Some(tls) = &mut self.tls {
            tls.tighten(tight);
        }
    }
}
