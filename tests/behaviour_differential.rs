//! Every command behaves through Pointsman as if the server were on localhost: scripts, played against both.

mod behaviour;
mod common;

use behaviour::play::compare;
use behaviour::side::Kind;

/// One test a script and server: `strings::redis7`.
macro_rules! scripts {
    ($($name:ident: $kind:ident)*) => {$(
        mod $name {
            use super::*;
            const SCRIPT: &str = include_str!(concat!("behaviour/scripts/", stringify!($name), ".txt"));
            servers!($kind redis6 redis7 redis8 valkey);
        }
    )*};
}

macro_rules! servers {
    ($kind:ident $($component:ident)*) => {$(
        #[test]
        fn $component() {
            require_server!(stringify!($component));
            compare(&Kind::$kind(stringify!($component)), SCRIPT);
        }
    )*};
}

scripts! {
    strings: plain
    collections: plain
    streams: plain
    keyspace: plain
    transactions: plain
    blocking: plain
    pubsub: plain
    scripting: plain
    client: plain
    login: plain
    locked: locked
    bytes: plain
    server: plain
    replicated: replicated
}
