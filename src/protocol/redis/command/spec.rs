//! One command's facts, and finding them by name without allocating.

use super::table::COMMANDS;

/// A set of facts about a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Changes data (`COMMAND`'s `write`).
    pub const WRITE: Self = Self(1);
    /// Reads data (`readonly`).
    pub const READ: Self = Self(2);
    /// For operators (`admin`).
    pub const ADMIN: Self = Self(4);
    /// Changes who replicates from whom or who serves what: denied by default.
    pub const TOPOLOGY: Self = Self(8);

    /// Both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True when all of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How a command has to be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Leaves nothing behind on its connection.
    Plain,
    /// A script that may write (`EVALSHA`, `FCALL`).
    Script,
    /// A script whose first line may say that it doesn't write.
    Eval,
    /// A script that the server keeps from writing.
    ScriptRo,
    /// Neither a read nor a write, but replicated: `PUBLISH`.
    Publish,
    /// Blocks; the timeout is its last argument.
    BlockLast,
    /// Blocks; the timeout is its first argument.
    BlockFirst,
    /// `XREAD`, `XREADGROUP`: blocks if it says `BLOCK`.
    Streams,
    /// `WAIT`, `WAITAOF`.
    Wait,
    /// `MULTI`.
    Multi,
    /// `EXEC`.
    Exec,
    /// `DISCARD`.
    Discard,
    /// `WATCH`.
    Watch,
    /// `UNWATCH`.
    Unwatch,
    /// `SUBSCRIBE` and its kin.
    Subscribe,
    /// `UNSUBSCRIBE` and its kin.
    Unsubscribe,
    /// `MONITOR`.
    Monitor,
    /// Sets state of the connection that a session remembers (`CLIENT TRACKING`, `REPLY`, `NO-EVICT`, ...).
    Client,
    /// Needs a connection that nobody shares, but only for itself.
    Once,
    /// Makes this very connection matter for as long as the session lives (`CLIENT ID`).
    Identity,
    /// `ASKING`, `READONLY`, `READWRITE`.
    Cluster,
    /// What Pointsman answers or does itself.
    Local(Local),
}

/// What Pointsman answers or does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// Verify with the server, then remember.
    Auth,
    /// Verify with the server, then remember; may carry AUTH and SETNAME.
    Hello,
    /// Change the session's database.
    Select,
    /// Remember the name.
    SetName,
    /// Remember library name or version.
    SetInfo,
    /// Answer with the name remembered.
    GetName,
    /// Answer `+OK` and close.
    Quit,
    /// Forget all state, answer `+RESET`.
    Reset,
    /// Close without a word, as Redis does with browsers.
    Abort,
}

/// What the table says of one command or subcommand.
#[derive(Debug)]
pub struct Spec {
    /// In capitals; a subcommand's own name, without its container's.
    pub name: &'static str,
    /// Facts.
    pub flags: Flags,
    /// How to carry it.
    pub kind: Kind,
    /// Subcommands of a container.
    pub subcommands: &'static [Spec],
}

impl Spec {
    pub(super) const fn new(name: &'static str, flags: Flags, kind: Kind, subcommands: &'static [Spec]) -> Self {
        Self { name, flags, kind, subcommands }
    }

    /// The subcommand of that name, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&'static Spec> {
        self.subcommands.iter().find(|sub| sub.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Slots of the open hash table below; four times the number of commands keeps its chains short.
const SLOTS: usize = 1024;
/// A slot that holds no command.
const EMPTY: u16 = u16::MAX;

/// Positions in `COMMANDS`, by the hash of the name.
static INDEX: [u16; SLOTS] = index();

const fn slot(name: &[u8]) -> usize {
    let mut hash: u32 = 0;
    let mut i = 0;
    while i < name.len() {
        // Clearing bit 5 makes the case of letters irrelevant.
        hash = hash.wrapping_mul(31).wrapping_add((name[i] & 0xdf) as u32);
        i += 1;
    }
    (hash.wrapping_mul(0x9E37_79B1) >> 22) as usize
}

const fn index() -> [u16; SLOTS] {
    let mut index = [EMPTY; SLOTS];
    let mut i: u16 = 0;
    while (i as usize) < COMMANDS.len() {
        let mut at = slot(COMMANDS[i as usize].name.as_bytes());
        while index[at] != EMPTY {
            at = (at + 1) % SLOTS;
        }
        index[at] = i;
        i += 1;
    }
    index
}

/// Finds a command by its name, in any case. No allocation, one hash and, mostly, one comparison.
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    // The longest name has 20 bytes; a longer one, maybe megabytes of it, isn't worth hashing.
    if name.len() > 32 {
        return None;
    }
    let mut at = slot(name);
    // The table has free slots, so this ends.
    while let Some(spec) = INDEX.get(at).and_then(|&i| COMMANDS.get(usize::from(i))) {
        // The table is in capitals, so only one side's case has to be folded.
        if spec.name.len() == name.len() && name.iter().map(u8::to_ascii_uppercase).eq(spec.name.bytes()) {
            return Some(spec);
        }
        at = (at + 1) % SLOTS;
    }
    None
}

/// All names, for suggestions: `GET`, `CLIENT`, `CLIENT KILL`.
pub fn all_names() -> impl Iterator<Item = String> {
    COMMANDS.iter().flat_map(|command| {
        let subs = command.subcommands.iter().map(move |sub| format!("{} {}", command.name, sub.name));
        std::iter::once(command.name.to_owned()).chain(subs)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case() {
        for spec in COMMANDS {
            assert!(std::ptr::eq(find(spec.name.as_bytes()).expect(spec.name), spec));
            assert!(std::ptr::eq(find(spec.name.to_lowercase().as_bytes()).expect(spec.name), spec));
            for sub in spec.subcommands {
                let found = spec.subcommand(sub.name.to_lowercase().as_bytes()).expect(sub.name);
                assert!(std::ptr::eq(found, sub));
            }
        }
    }

    #[test]
    fn what_is_no_command_is_not_found() {
        for name in ["", "GE", "GETT", "JSON.SET", "G\u{0}T", &"A".repeat(1000), "ge\u{54}\u{20}"] {
            assert!(find(name.as_bytes()).is_none(), "{name:?}");
        }
    }

    #[test]
    fn the_table_knows_old_and_new() {
        assert!(find(b"get").expect("GET").flags.has(Flags::READ));
        assert!(find(b"hsetex").expect("Redis 8.0").flags.has(Flags::WRITE));
        assert!(find(b"delifeq").expect("Valkey 9").flags.has(Flags::WRITE));
        assert!(find(b"vadd").expect("vector sets of Redis 8.0").flags.has(Flags::WRITE));
        assert!(find(b"msetex").expect("Redis 8.4").flags.has(Flags::WRITE));
    }
}
