//! TLS from the clear part of its handshake: records, hellos, certificates, alerts.
//!
//! Follows one connection from the offsets where TLS begins; sees bytes and times only.

mod certificate;
mod distinguished;
mod event;
mod handshake;
mod hello;
mod hostname;
mod messages;
mod names;
mod probe;
mod records;
mod session;
mod step;
mod watcher;

pub use event::{
    Alert, Certificate, CertificateProblem, ClientHello, Handshake, Record, ServerHello, Started, TlsEvent,
    TlsHow,
};
pub use names::{alert_name, handshake_name, version_name};
pub use probe::{looks_like_chain, looks_like_client_hello, looks_like_record};
pub use watcher::TlsWatcher;
