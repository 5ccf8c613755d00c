//! A network namespace for the calling thread, gone with it: what a test does there, nobody else sees.
#![allow(dead_code)] // Not every test program uses all of it.

use std::net::{IpAddr, UdpSocket};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Moves the calling thread into a new, empty namespace with a loopback. `None`, said by the test's name, where
/// that is not allowed.
pub fn enter(test: &str) -> Option<()> {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        eprintln!("skipped: {test}: needs root for a network namespace of its own ({error})");
        return None;
    }
    ip("link set lo up");
    Some(())
}

/// A cable within the namespace: what `out` (10.9.0.1) sends to 10.9.0.2 and fd09::2 comes in at `in`, where nobody
/// takes it.
pub fn cable() {
    ip("link add out type veth peer name in");
    let mac = "02:00:00:00:00:02";
    ip(&format!("link set in address {mac} mtu 65535 up"));
    ip("link set out mtu 65535 up");
    ip("addr add 10.9.0.1/24 dev out");
    ip("addr add fd09::1/64 dev out nodad");
    ip(&format!("neigh add 10.9.0.2 lladdr {mac} dev out nud permanent"));
    ip(&format!("neigh add fd09::2 lladdr {mac} dev out nud permanent"));
}

/// Runs ip(8).
pub fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Sends so many datagrams through the cable, each with its number at the start.
pub fn send(port: u16, numbers: std::ops::Range<u32>, len: usize) {
    let to: IpAddr = "10.9.0.2".parse().unwrap();
    let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
    let mut datagram = vec![0; len];
    for number in numbers {
        datagram[..4].copy_from_slice(&number.to_be_bytes());
        socket.send_to(&datagram, (to, port)).unwrap();
    }
}
