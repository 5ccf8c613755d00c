//! TLS from the clear part of its handshake: records, hellos, certificates, alerts.
//!
//! Follows one connection from the offsets where TLS begins; sees bytes and times only.

mod event;

pub use event::{
    Alert, Certificate, CertificateProblem, ClientHello, Handshake, Record, ServerHello, Started, TlsEvent,
    TlsHow,
};
