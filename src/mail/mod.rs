//! Mail on the wire: SMTP, LMTP, POP3, IMAP and ManageSieve, recognised by content.
//!
//! Follows the events of one connection and adds its own; sees bytes and times only.

mod auth;
mod detect;
mod event;
mod header;
mod imap;
pub(crate) mod input;
mod line;
mod literal;
mod message;
mod plain;
mod pop3;
mod preamble;
pub(crate) mod probe;
mod proxied;
mod replying;
mod resync;
mod secret;
pub(crate) mod session;
mod shared;
mod smtp;
pub(crate) mod starttls;

pub(crate) use detect::port_hint;
pub use event::{
    Auth, Command, Doubt, ImplicitMismatch, MailEvent, MailWarning, Protocol, Reply, Starttls,
    StarttlsOutcome, Transaction,
};
pub use proxied::Proxied;
pub(crate) use shared::Flow;

#[cfg(test)]
pub(crate) mod tests {
    use crate::decode::{Endpoint, Scope};
    use crate::event::{ClientKnown, Connection};

    /// One for tests of what needs one to pass bytes on.
    pub(crate) fn connection() -> Connection {
        let endpoint = Endpoint {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 25,
        };
        Connection {
            id: 1,
            slot: 0,
            client: endpoint,
            server: endpoint,
            client_known: ClientKnown::Syn,
            first_time: Default::default(),
            scope: Scope(0),
            vlan: None,
            mac: None,
        }
    }
}
