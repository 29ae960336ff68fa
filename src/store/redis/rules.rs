//! The rules of an ACL user in one order, so that two servers' lists of the same rights are the same text.
//!
//! Input: rules as `ACL LIST` shows them. Output: the same rules, in an order that means the same. Redis before 7.2 lists
//! commands in the order of a hash table, which is another one in every process. Never: a change of what is allowed.

/// Brings rules for single commands into an order of their own; where the order has a meaning, it stays.
pub(super) fn in_one_order(rules: &mut [String]) {
    for commands in rules.chunk_by_mut(|a, b| is_command(a) && is_command(b)) {
        // Rules for different commands don't touch each other; those for the same command stay as they are.
        commands.sort_by(|a, b| command(a).cmp(command(b)));
        for subcommands in commands.chunk_by_mut(|a, b| command(a) == command(b) && sign(a) == sign(b)) {
            if subcommands.iter().all(|rule| rule.contains('|')) {
                subcommands.sort_unstable();
            }
        }
    }
}

/// True for `+get` and `-config|set`; not for categories, nor for what begins or ends a selector.
fn is_command(rule: &str) -> bool {
    rule.starts_with(['+', '-']) && !rule.contains(['@', '(', ')'])
}

fn sign(rule: &str) -> Option<char> {
    rule.chars().next()
}

fn command(rule: &str) -> &str {
    let name = rule.trim_start_matches(['+', '-']);
    name.split('|').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(rules: &str) -> String {
        let mut rules: Vec<String> = rules.split(' ').map(ToOwned::to_owned).collect();
        in_one_order(&mut rules);
        rules.join(" ")
    }

    #[test]
    fn another_order_of_the_same_rights_is_the_same() {
        for (one, other) in [
            ("on ~* -@all +role +info +config|set +config|get", "on ~* -@all +config|get +info +config|set +role"),
            ("on -@all +@read -get +set -keys", "on -@all +@read +set -keys -get"),
            (
                "on +@all -client -flushall +client|list +client|id",
                "on +@all -client +client|id +client|list -flushall",
            ),
        ] {
            assert_eq!(ordered(one), ordered(other));
        }
    }

    #[test]
    fn an_order_with_a_meaning_stays() {
        for rules in
            ["on +client -client|kill", "on -client|kill +client", "on +get -@all", "on -@all +get -@read +set"]
        {
            assert_eq!(ordered(rules), rules);
        }
    }

    #[test]
    fn different_rights_stay_different() {
        assert_ne!(ordered("on +get +set"), ordered("on +get -set"));
        assert_ne!(ordered("on +client|list"), ordered("on +client|kill"));
    }
}
