//! Mail on the wire: SMTP, LMTP, POP3, IMAP and ManageSieve, recognised by content.
//!
//! Follows the events of one connection and adds its own; sees bytes and times only.

mod event;

pub use event::{
    Auth, Command, ImplicitMismatch, MailEvent, MailWarning, Protocol, Reply, Starttls, StarttlsOutcome,
    Transaction,
};
