//! Why a session can't move to another node.

use super::carried::Carried;

impl Carried {
    /// Why the session stays where it is also between transactions; `None` if it can move in a planned switch. Prepared statements and what the
    /// last status flags tell are not part of it.
    pub fn stuck(&self) -> Option<&'static str> {
        let holds = &self.holds;
        let value = |name: &[u8]| self.system.get(name).unwrap_or_default();
        let gtid_next = value(b"gtid_next");
        let reasons = [
            (holds.tables, "has locked tables"),
            (holds.server, "holds a lock of the whole server"),
            (holds.user_lock, "may hold a lock by GET_LOCK()"),
            (holds.temporary, "may have a temporary table"),
            (holds.handlers > 0, "has an open HANDLER"),
            (holds.xa, "has a prepared XA transaction"),
            (!self.named.is_empty(), "has a statement prepared by SQL"),
            (holds.group, "is in a resource group"),
            (holds.seed, "has set insert_id or a seed of RAND()"),
            (holds.hidden, "has run something that changed its session in a way that can't be seen"),
            (!gtid_next.is_empty() && !gtid_next.eq_ignore_ascii_case(b"AUTOMATIC"), "has set gtid_next"),
            (matches!(value(b"sql_log_bin"), b"OFF" | b"0"), "has set sql_log_bin = OFF"),
            (self.user.overflow(), "has more than 256 user variables"),
        ];
        reasons.iter().find(|(is, _)| *is).map(|(_, why)| *why)
    }

    /// True if everything that the session has to take along is known without asking its node, which may be gone.
    pub fn is_known(&self) -> bool {
        self.stuck().is_none() && !self.user.unknown() && !self.ask_collation
    }
}
