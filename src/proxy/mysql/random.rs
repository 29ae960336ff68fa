//! Random bytes for logins.
//!
//! Input: the system's generator. Output: challenges and seeds. Never: anything that repeats.

use crate::protocol::mysql::{auth::SEED, greeting::NONCE};

/// A challenge for a login: random, without the zero byte that would end it and the `$` that MySQL's digests are divided by.
pub fn nonce() -> [u8; NONCE] {
    random().map(|byte: u8| match byte & 0x7f {
        0 | b'$' => b'!',
        other => other,
    })
}

/// Random bytes for the encryption of a password.
pub fn seed() -> [u8; SEED] {
    random()
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    // So few bytes come at once on any system that has started; an interruption is tried again.
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).unwrap_or_default();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_can_be_sent_and_is_no_other() {
        let many: Vec<_> = (0..200).map(|_| nonce()).collect();
        assert!(many.iter().flatten().all(|&byte| byte != 0 && byte != b'$' && byte < 0x80));
        assert!(many.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
