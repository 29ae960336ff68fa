//! The rights that our login needs at a node, and which of them it lacks.
//!
//! Input: a node. Output: statements that grant what is missing. It asks the server (`ACL DRYRUN`, from 7.0); older ones are
//! given a form of each command that they refuse for another reason when the right is there. It never changes anything.

use super::{
    client::{CallError, Pipeline},
    node::Node,
    reply::{Reply, error, text},
};

/// The statement that makes a login with exactly the rights that are needed.
pub const MINIMAL_ACL: &str = "ACL SETUSER pointsman on >PASSWORD resetkeys -@all +info +role +config|get \
    +config|set +config|rewrite +client|setname +client|list +client|pause +client|unpause +client|kill +replicaof \
    +acl|list +acl|dryrun";

/// A right, a command as we send it, and a form of it that does nothing (empty where there is none).
const NEEDED: [(&str, &str, &str); 13] = [
    ("+info", "INFO replication", "INFO server"),
    ("+role", "ROLE", "ROLE"),
    ("+config|get", "CONFIG GET maxmemory", "CONFIG GET maxmemory"),
    ("+config|set", "CONFIG SET min-replicas-to-write 0", "CONFIG SET pointsman-tests-its-rights 0"),
    ("+config|rewrite", "CONFIG REWRITE", ""),
    ("+client|setname", "CLIENT SETNAME x", ""),
    ("+client|list", "CLIENT LIST TYPE normal", "CLIENT LIST TYPE pointsman-tests-its-rights"),
    ("+client|pause", "CLIENT PAUSE 5000 WRITE", "CLIENT PAUSE pointsman-tests-its-rights WRITE"),
    ("+client|unpause", "CLIENT UNPAUSE", ""),
    ("+client|kill", "CLIENT KILL TYPE normal", "CLIENT KILL TYPE pointsman-tests-its-rights"),
    ("+replicaof", "REPLICAOF NO ONE", "REPLICAOF pointsman-tests-its-rights no-port"),
    ("+acl|list", "ACL LIST", "ACL LIST"),
    ("+acl|dryrun", "ACL DRYRUN default PING", ""),
];

/// The statements that grant what our login lacks at `node`.
pub(super) async fn missing(node: &Node) -> Result<Vec<String>, CallError> {
    let mut dry_run = Pipeline::default();
    for (_, command, _) in NEEDED {
        dry_run.push(["ACL", "DRYRUN", node.user()].into_iter().chain(command.split(' ')));
    }
    let replies = node.call(&dry_run).await?;
    let denied = replies.iter().any(|reply| error(reply).is_some_and(|why| why.starts_with("NOPERM")));
    let unknown = replies.iter().any(|reply| error(reply).is_some_and(|why| why.to_lowercase().contains("unknown")));
    let lacking: Vec<&str> = if denied || unknown {
        let trials: Vec<_> = NEEDED.iter().filter(|(_, _, trial)| !trial.is_empty()).collect();
        let replies = node.call(&Pipeline::of(&trials.iter().map(|(_, _, trial)| *trial).collect::<Vec<_>>())).await?;
        let refused = |reply: &Reply| error(reply).is_some_and(|why| why.starts_with("NOPERM"));
        let tried = trials.iter().zip(&replies).filter(|(_, reply)| refused(reply)).map(|((right, _, _), _)| *right);
        tried.chain((denied && !unknown).then_some("+acl|dryrun")).collect()
    } else {
        let refused = |reply: &Reply| text(reply).is_some_and(|verdict| verdict != "OK");
        NEEDED.iter().zip(&replies).filter(|(_, reply)| refused(reply)).map(|((right, _, _), _)| *right).collect()
    };
    Ok(lacking.into_iter().map(|right| format!("ACL SETUSER {} {right}", node.user())).collect())
}
