//! Proofs of a password: made for a node, and checked when a client sends one.
//!
//! `mysql_native_password`: `SHA1(pw) ^ SHA1(nonce + SHA1(SHA1(pw)))`. `caching_sha2_password`: `SHA256(pw) ^ SHA256(SHA256(SHA256(pw)) +
//! nonce)`; a server that doesn't have the password's digest in memory asks for the password itself, over TLS or a Unix socket, else encrypted
//! with its RSA key. An empty password is proved by nothing.
//!
//! Source: the manual's "Native Authentication" and "Caching SHA-2 Pluggable Authentication".

use rsa::PublicKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::greeting::NONCE;

/// MySQL's plugin since 8.0.
pub const CACHING_SHA2: &[u8] = b"caching_sha2_password";
/// MariaDB's plugin, and MySQL's before 9.
pub const NATIVE: &[u8] = b"mysql_native_password";
/// The password itself.
pub const CLEAR: &[u8] = b"mysql_clear_password";

/// `caching_sha2_password`: the client asks for the server's RSA key.
pub const REQUEST_KEY: u8 = 2;
/// `caching_sha2_password`: the proof was right.
pub const FAST_OK: u8 = 3;
/// `caching_sha2_password`: the password itself is wanted.
pub const FULL: u8 = 4;

/// Random bytes that RSA's padding takes.
pub const SEED: usize = 20;

/// A proof of at most 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    bytes: [u8; 32],
    len: u8,
}

impl Proof {
    /// Its bytes; none for an empty password.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    const EMPTY: Self = Self { bytes: [0; 32], len: 0 };
}

/// The proof that `plugin` wants; `None` for a plugin that has no such proof.
pub fn prove(plugin: &[u8], password: &[u8], nonce: &[u8; NONCE]) -> Option<Proof> {
    match plugin {
        _ if plugin != CACHING_SHA2 && plugin != NATIVE => None,
        _ if password.is_empty() => Some(Proof::EMPTY),
        NATIVE => {
            let mut proof = Proof { len: 20, ..Proof::EMPTY };
            let digest = Sha1::digest(password);
            let mask = Sha1::new().chain_update(nonce).chain_update(Sha1::digest(digest)).finalize();
            xor(&mut proof.bytes, &digest, &mask);
            Some(proof)
        }
        _ => {
            let mut proof = Proof { len: 32, ..Proof::EMPTY };
            let digest = Sha256::digest(password);
            let mask = Sha256::new().chain_update(Sha256::digest(digest)).chain_update(nonce).finalize();
            xor(&mut proof.bytes, &digest, &mask);
            Some(proof)
        }
    }
}

fn xor(out: &mut [u8], a: &[u8], b: &[u8]) {
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = a ^ b;
    }
}

/// True when `proof` proves `password`. Takes the same time whatever differs; a plugin that has no proof is never right.
pub fn check(plugin: &[u8], password: &[u8], nonce: &[u8; NONCE], proof: &[u8]) -> bool {
    prove(plugin, password, nonce).is_some_and(|right| bool::from(right.bytes().ct_eq(proof)))
}

/// True when what a client sent in full (a zero byte at its end, or not) is `password`; takes the same time whatever differs.
pub fn check_clear(password: &[u8], sent: &[u8]) -> bool {
    let sent = sent.strip_suffix(&[0]).unwrap_or(sent);
    bool::from(Sha256::digest(password).ct_eq(&Sha256::digest(sent)))
}

/// Encrypts a password for a server whose key is `pem`, as `caching_sha2_password` wants it (RSA, OAEP with SHA-1). `seed` is random and
/// used once. `None`: that is no key for it.
pub fn encrypt(password: &[u8], nonce: &[u8; NONCE], pem: &[u8], seed: [u8; SEED]) -> Option<Vec<u8>> {
    let key = PublicKey::from_public_key_pem(std::str::from_utf8(pem).ok()?.trim()).ok()?;
    let masked: Vec<u8> = password.iter().chain(&[0]).zip(nonce.iter().cycle()).map(|(a, b)| a ^ b).collect();
    key.oaep_encrypt_with_rng::<Sha1, _>(&mut Seed(Some(seed)), &masked).ok()
}

/// Gives the bytes that the padding asks for, which is one digest, once.
struct Seed(Option<[u8; SEED]>);

/// The padding asked for other bytes than it was given.
#[derive(Debug)]
struct Exhausted;

impl std::fmt::Display for Exhausted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no random bytes are left")
    }
}

impl std::error::Error for Exhausted {}

impl TryRng for Seed {
    type Error = Exhausted;

    fn try_next_u32(&mut self) -> Result<u32, Exhausted> {
        Err(Exhausted)
    }

    fn try_next_u64(&mut self) -> Result<u64, Exhausted> {
        Err(Exhausted)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Exhausted> {
        let seed = self.0.take().ok_or(Exhausted)?;
        out.copy_from_slice(seed.get(..out.len()).ok_or(Exhausted)?);
        Ok(())
    }
}

impl TryCryptoRng for Seed {}
