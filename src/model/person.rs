//! People: who asks through the admin API, how they came, and what their role lets them do.
//!
//! One name is one person however they come: the name stands in the journal as actor or approver. It holds no credentials
//! and checks none; that is the admin floor's.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a person may do. Each role may do what the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
// A node has a role too, and the API's description knows types by their names.
#[schema(as = PersonRole)]
pub enum Role {
    /// Look at everything, change nothing.
    Viewer,
    /// Give orders, reload the configuration, withdraw what they asked for.
    Operator,
    /// Be the second person that agrees to another's order.
    Approver,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Approver];

    /// The word of the configuration and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The kernel told the uid and gid of a process on the Unix socket.
    Socket,
    /// A bearer token over TCP.
    Token,
}

/// Who sends a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Caller {
    /// The person's name, or `uid:N` of one who has none.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// How they came.
    pub via: Way,
}

impl Caller {
    /// Whether the caller's role is enough. The error says in words what is missing.
    pub fn may(&self, needed: Role) -> Result<(), TooLittle> {
        if self.role >= needed { Ok(()) } else { Err(TooLittle { name: self.name.clone(), role: self.role, needed }) }
    }
}

/// Somebody who is known asked for more than their role lets them do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooLittle {
    /// Who.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// What it takes.
    pub needed: Role,
}

impl fmt::Display for TooLittle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, role, needed } = self;
        write!(f, "{name} may not: this takes the role {needed}, theirs is {role}")
    }
}

impl std::error::Error for TooLittle {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_lower_ones_may() {
        for (has, role) in Role::ALL.into_iter().enumerate() {
            let caller = Caller { name: "ann".into(), role, via: Way::Token };
            for (takes, needed) in Role::ALL.into_iter().enumerate() {
                assert_eq!(caller.may(needed).is_ok(), has >= takes, "{role} {needed}");
            }
        }
        let viewer = Caller { name: "ann".into(), role: Role::Viewer, via: Way::Socket };
        let words = viewer.may(Role::Operator).expect_err("a viewer only looks").to_string();
        assert_eq!(words, "ann may not: this takes the role operator, theirs is viewer");
    }
}
