//! Mail on the wire: SMTP, LMTP, POP3, IMAP and ManageSieve, recognised by content.
//!
//! Follows the events of one connection and adds its own; sees bytes and times only.

mod auth;
mod core;
mod detect;
mod event;
mod header;
mod imap;
pub(crate) mod input;
mod line;
mod literal;
mod message;
mod pop3;
mod preamble;
pub(crate) mod probe;
mod replying;
mod resync;
mod secret;
pub(crate) mod session;
mod smtp;
pub(crate) mod starttls;

pub(crate) use core::Flow;
pub(crate) use detect::port_hint;
pub use event::{
    Auth, Command, ImplicitMismatch, MailEvent, MailWarning, Protocol, Reply, Starttls, StarttlsOutcome,
    Transaction,
};
