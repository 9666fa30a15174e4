//! Whose program is at the other end of a connection over this computer's loopback, by the kernel's table of TCP
//! connections (proc_pid_net(5), `/proc/net/tcp`).

use std::net::{SocketAddr, SocketAddrV4};

/// The table; other systems than Linux have none, and there everybody is let through to the engine's mutual TLS.
const TABLE: &str = "/proc/net/tcp";
/// The state of a connection that stands (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";

/// Whether a program of this process's user, or of root, has connected from `peer` to `local`.
pub(super) fn is_own(local: SocketAddr, peer: SocketAddr) -> bool {
    let (SocketAddr::V4(local), SocketAddr::V4(peer)) = (local, peer) else { return true };
    match std::fs::read_to_string(TABLE) {
        Ok(table) => is_of(&table, local, peer, rustix::process::getuid().as_raw()),
        Err(error) => {
            tracing::debug!("{TABLE}: {error}");
            true
        }
    }
}

fn is_of(table: &str, local: SocketAddrV4, peer: SocketAddrV4, uid: u32) -> bool {
    let (from, to) = (written(peer), written(local));
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, source, target, state, _, _, _, owner, ..] = fields[..] else { return false };
        if source != from || target != to {
            return false;
        }
        // A connection whose program has closed it belongs to nobody, which the table writes as 0 too.
        match owner.parse::<u32>() {
            Ok(0) => state == ESTABLISHED,
            Ok(owner) => owner == uid,
            Err(_) => false,
        }
    })
}

/// As the table has it: the address as a number of this computer's byte order, and the port.
fn written(address: SocketAddrV4) -> String {
    format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn row(from: &str, to: &str, state: &str, uid: u32) -> String {
        let (from, to) = (written(from.parse().unwrap()), written(to.parse().unwrap()));
        format!("   7: {from} {to} {state} 00000000:00000000 00:00000000 00000000  {uid:>4}        0 8135 1 0000\n")
    }

    #[test]
    fn only_the_users_own_and_roots_programs_are_let_through() {
        let (peer, local) = ("127.0.0.1:40000", "127.0.0.1:2376");
        let own = |rows: &[String], uid| {
            is_of(&(HEAD.to_owned() + &rows.concat()), local.parse().unwrap(), peer.parse().unwrap(), uid)
        };
        let noise = [row(local, peer, "01", 1000), row("127.0.0.1:40001", local, "01", 1000)];
        let with = |state: &str, uid| [&noise[..], &[row(peer, local, state, uid)]].concat();
        assert!(own(&with("01", 1000), 1000));
        assert!(own(&with("05", 1000), 1000), "it has sent all it wants to");
        assert!(own(&with("01", 0), 1000), "root's programs");
        assert!(!own(&with("01", 1001), 1000), "another user's");
        assert!(!own(&with("05", 0), 1000) && !own(&with("06", 0), 0), "closed already: nobody's");
        assert!(!own(&noise, 1000), "not there");
        assert!(!is_of("", local.parse().unwrap(), peer.parse().unwrap(), 1000));
    }

    #[test]
    fn this_process_is_of_its_own_user() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, peer) = listener.accept().unwrap();
        assert!(is_own(served.local_addr().unwrap(), peer));
        drop(client);
    }
}
