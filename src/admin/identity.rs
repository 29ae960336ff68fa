//! Who somebody is: the person that a uid, a gid or a token stands for.
//!
//! Inputs: what the kernel or a header proves, and the people of the configuration in force. Output: a [`Caller`], or nobody. It
//! never keeps a token, and takes as long for a wrong one as for a right one.

use crate::{
    config::{Admin, Person, TokenHash},
    model::person::{Caller, Role, Way},
};
use subtle::{Choice, ConstantTimeEq};

/// What a request proves about who sent it. It is looked up again while an event stream runs: a reload may have changed the people.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Proof {
    /// The kernel's word on the process at the other end of the Unix socket.
    Peer {
        /// Its user.
        uid: u32,
        /// Its primary group.
        gid: u32,
    },
    /// The hash of the token that came.
    Token(TokenHash),
}

impl Proof {
    /// What a bearer token proves.
    pub(super) fn of_token(token: &str) -> Self {
        Self::Token(TokenHash::of(token))
    }
}

/// The person, if there is one. `own` is Pointsman's user.
pub(super) fn who(admin: &Admin, proof: &Proof, own: u32) -> Option<Caller> {
    match proof {
        Proof::Peer { uid, gid } => by_peer(admin, *uid, *gid, own),
        Proof::Token(hash) => by_token(&admin.people, hash).map(|person| caller(person, Way::Token)),
    }
}

/// Whether this is root or Pointsman's own user, whom nobody named: the machine is theirs in any case.
pub(super) fn is_own(uid: u32, own: u32) -> bool {
    uid == 0 || uid == own
}

/// The uid first, then what root and our own user always are, and only then the group, so that nobody takes their role from them by
/// naming a group.
fn by_peer(admin: &Admin, uid: u32, gid: u32, own: u32) -> Option<Caller> {
    if let Some(person) = admin.people.iter().find(|person| person.uid == Some(uid)) {
        return Some(caller(person, Way::Socket));
    }
    if is_own(uid, own) {
        return Some(Caller { name: format!("uid:{uid}"), role: Role::Operator, via: Way::Socket });
    }
    let of_group = admin.people.iter().find(|person| person.gid == Some(gid));
    of_group.map(|person| caller(person, Way::Socket))
}

/// Every hash is compared to its end, the found one's successors too.
fn by_token<'p>(people: &'p [Person], hash: &TokenHash) -> Option<&'p Person> {
    let mut found = None;
    for person in people {
        let same = person.tokens.iter().fold(Choice::from(0), |same, known| same | known.0.ct_eq(&hash.0));
        if bool::from(same) {
            found = Some(person);
        }
    }
    found
}

fn caller(person: &Person, via: Way) -> Caller {
    Caller { name: person.name.clone(), role: person.role, via }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str, role: Role, uid: Option<u32>, gid: Option<u32>, tokens: &[&str]) -> Person {
        let tokens = tokens.iter().map(|token| TokenHash::of(token)).collect();
        Person { name: name.into(), role, uid, gid, tokens }
    }

    fn people() -> Admin {
        Admin {
            people: vec![
                person("ann", Role::Approver, Some(1001), None, &["old", "new"]),
                person("ops", Role::Viewer, None, Some(50), &[]),
                person("wheel", Role::Viewer, None, Some(0), &[]),
            ],
            ..Admin::default()
        }
    }

    #[test]
    fn one_name_is_one_person_however_they_come() {
        let name = |proof| who(&people(), &proof, 900).map(|caller| (caller.name, caller.role));
        let ann = Some(("ann".to_owned(), Role::Approver));
        assert_eq!(name(Proof::Peer { uid: 1001, gid: 50 }), ann, "the uid goes before the group");
        assert_eq!((name(Proof::of_token("old")), name(Proof::of_token("new"))), (ann.clone(), ann));
        assert_eq!(name(Proof::Peer { uid: 1002, gid: 50 }), Some(("ops".into(), Role::Viewer)));
        assert_eq!(
            name(Proof::Peer { uid: 0, gid: 0 }),
            Some(("uid:0".into(), Role::Operator)),
            "no group takes it away"
        );
        assert_eq!(name(Proof::Peer { uid: 900, gid: 50 }), Some(("uid:900".into(), Role::Operator)));
        for nobody in [
            Proof::Peer { uid: 1002, gid: 1002 },
            Proof::of_token(""),
            Proof::of_token("Old"),
            Proof::Token(TokenHash([0; 32])),
        ] {
            assert_eq!(name(nobody), None);
        }
    }

    #[test]
    fn without_people_root_and_our_own_user_are_operators_and_nobody_else() {
        let admin = Admin::default();
        assert!(who(&admin, &Proof::Peer { uid: 0, gid: 7 }, 1000).is_some());
        assert!(who(&admin, &Proof::Peer { uid: 1000, gid: 7 }, 1000).is_some());
        assert_eq!(who(&admin, &Proof::Peer { uid: 1001, gid: 0 }, 1000), None);
    }
}
