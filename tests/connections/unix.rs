//! Unix socket listeners.

use crate::common::{raw::Raw, redis_server::RedisServer};
use crate::require_server;
use crate::rig::{Rig, service};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};

#[test]
fn a_socket_is_for_owner_and_group_and_a_stale_one_is_replaced() {
    require_server!("redis7");
    let (main, spare) = RedisServer::pair("redis7");
    let mut rig = Rig::prepare(&[("main", vec![&main]), ("spare", vec![&spare])], "");
    let clusters = [("main", vec![&main]), ("spare", vec![&spare])];
    let tcp = format!("\"127.0.0.1:{}\"", rig.port);
    let text = service(rig.port, &clusters, "").replace(&tcp, &format!("{tcp}, \"unix:{{dir}}/cart.sock\""));
    rig.pointsman.write_services(&text);
    rig.pointsman.launch();
    rig.wait_steady();
    let socket = rig.pointsman.folder().join("cart.sock");
    assert_eq!(std::fs::metadata(&socket).expect("the socket").permissions().mode() & 0o777, 0o660);
    Raw::connect_unix(&socket).send("SET k v\r\nGET k\r\n").expect("+OK\r\n$1\r\nv\r\n");

    rig.pointsman.kill();
    assert!(socket.exists(), "kill -9 leaves it behind");
    rig.pointsman.launch();
    rig.wait_steady();
    Raw::connect_unix(&socket).send("GET k\r\n").expect("$1\r\nv\r\n");

    rig.pointsman.terminate();
    rig.pointsman.wait();
    assert!(!socket.exists(), "an orderly end takes it away");
    std::fs::write(&socket, "somebody's file").expect("a file in its place");
    rig.pointsman.launch_only();
    assert_eq!(rig.pointsman.wait().code(), Some(1), "{}", rig.pointsman.log());
    let kept = std::fs::metadata(&socket).expect("still there").file_type();
    assert!(!kept.is_socket(), "what isn't ours stays");
}
