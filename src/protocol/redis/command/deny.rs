//! What applications may not send.

use super::spec::{Flags, Spec, all_names, find};

/// Commands and subcommands that are refused.
#[derive(Debug, Clone, Default)]
pub struct DenyList {
    /// What replaces the default, by address of the table's line; `None`: everything that changes the topology.
    chosen: Option<Vec<&'static Spec>>,
    /// Names that aren't in the table but were denied all the same (modules' commands), in capitals.
    modules: Vec<String>,
}

/// A name in `deny` that no server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCommand {
    /// As it was written.
    pub name: String,
    /// Every name there is, for "did you mean".
    pub known: Vec<String>,
}

impl DenyList {
    /// Reads the configuration's list (`"SHUTDOWN"`, `"CLIENT KILL"`, in any case). It replaces the default; a name with a dot
    /// is a module's command and is taken as it is.
    pub fn parse(names: &[String]) -> Result<Self, UnknownCommand> {
        let mut list = Self { chosen: Some(Vec::new()), modules: Vec::new() };
        for name in names {
            let mut words = name.split_ascii_whitespace();
            let (command, sub, rest) = (words.next().unwrap_or_default(), words.next(), words.next());
            let spec = find(command.as_bytes()).and_then(|command| match sub {
                Some(sub) => command.subcommand(sub.as_bytes()),
                None => Some(command),
            });
            match spec {
                Some(spec) if rest.is_none() => list.chosen.get_or_insert_default().push(spec),
                None if command.contains('.') && sub.is_none() => list.modules.push(command.to_ascii_uppercase()),
                _ => return Err(UnknownCommand { name: name.clone(), known: all_names().collect() }),
            }
        }
        Ok(list)
    }

    /// True when the command, or this subcommand of it, is refused.
    #[inline]
    pub(super) fn denies(&self, command: &'static Spec, spec: &'static Spec) -> bool {
        match &self.chosen {
            None => spec.flags.has(Flags::TOPOLOGY),
            Some(chosen) => chosen.iter().any(|denied| std::ptr::eq(*denied, command) || std::ptr::eq(*denied, spec)),
        }
    }

    /// True when a command that the table doesn't know is refused.
    pub(super) fn unknown(&self, name: &[u8]) -> bool {
        self.modules.iter().any(|denied| denied.as_bytes().eq_ignore_ascii_case(name))
    }
}
