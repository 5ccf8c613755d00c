//! Names of the numbers on the wire, as IANA registers them, so that they can be searched for.
//!
//! Cipher suites come from tls-parser's copy of the registry; the small tables are here, because tls-parser
//! gives those in a spelling of its own.

use std::borrow::Cow;

use tls_parser::{TlsCipherEnc, TlsCipherSuite};

/// What a peer lists is kept up to this length. Certificates of public authorities name a hundred hosts, browsers offer
/// twenty groups; thousands fit into a message.
const LISTED: usize = 256;

/// So much of a list as is kept; its last entry then says how many more there were.
pub(super) fn listed(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names = names.fuse();
    let mut kept: Vec<String> = names.by_ref().take(LISTED).collect();
    let more = names.count();
    if more > 0 {
        kept.push(format!("and {more} more"));
    }
    kept
}

/// `TLS 1.3` for 0x0304; a number that is no version as `0x1234`.
pub fn version_name(version: u16) -> Cow<'static, str> {
    Cow::Borrowed(match version {
        0x0002 => "SSL 2.0",
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        0x7f00..=0x7fff => return Cow::Owned(format!("TLS 1.3 draft {}", version & 0xff)),
        _ => return unknown(version),
    })
}

/// `TLS_AES_256_GCM_SHA384` for 0x1302; a number that is not registered as `0x1234`.
pub(super) fn cipher_name(cipher: u16) -> Cow<'static, str> {
    TlsCipherSuite::from_id(cipher).map_or_else(|| unknown(cipher), |suite| Cow::Borrowed(suite.name))
}

/// Whether a cipher suite encrypts at all: the NULL suites do not. One that is not known does.
pub(super) fn cipher_encrypts(cipher: u16) -> bool {
    TlsCipherSuite::from_id(cipher).is_none_or(|suite| suite.enc != TlsCipherEnc::Null)
}

/// `x25519` for 29; a number that is not known as `0x1234`.
pub(super) fn group_name(group: u16) -> Cow<'static, str> {
    Cow::Borrowed(match group {
        1 => "sect163k1",
        2 => "sect163r1",
        3 => "sect163r2",
        4 => "sect193r1",
        5 => "sect193r2",
        6 => "sect233k1",
        7 => "sect233r1",
        8 => "sect239k1",
        9 => "sect283k1",
        10 => "sect283r1",
        11 => "sect409k1",
        12 => "sect409r1",
        13 => "sect571k1",
        14 => "sect571r1",
        15 => "secp160k1",
        16 => "secp160r1",
        17 => "secp160r2",
        18 => "secp192k1",
        19 => "secp192r1",
        20 => "secp224k1",
        21 => "secp224r1",
        22 => "secp256k1",
        23 => "secp256r1",
        24 => "secp384r1",
        25 => "secp521r1",
        26 => "brainpoolP256r1",
        27 => "brainpoolP384r1",
        28 => "brainpoolP512r1",
        29 => "x25519",
        30 => "x448",
        31 => "brainpoolP256r1tls13",
        32 => "brainpoolP384r1tls13",
        33 => "brainpoolP512r1tls13",
        34 => "GC256A",
        35 => "GC256B",
        36 => "GC256C",
        37 => "GC256D",
        38 => "GC512A",
        39 => "GC512B",
        40 => "GC512C",
        41 => "curveSM2",
        256 => "ffdhe2048",
        257 => "ffdhe3072",
        258 => "ffdhe4096",
        259 => "ffdhe6144",
        260 => "ffdhe8192",
        512 => "MLKEM512",
        513 => "MLKEM768",
        514 => "MLKEM1024",
        4587 => "SecP256r1MLKEM768",
        4588 => "X25519MLKEM768",
        4589 => "SecP384r1MLKEM1024",
        4590 => "curveSM2MLKEM768",
        0x4138 => "CECPQ2",
        0x4139 => "CECPQ2b",
        25497 => "X25519Kyber768Draft00",
        25498 => "SecP256r1Kyber768Draft00",
        0xfe30 => "X25519Kyber512Draft00",
        0xfe31 => "X25519Kyber768Draft00 (0xfe31)",
        0xfe32 => "P256Kyber768Draft00",
        _ => return unknown(group),
    })
}

/// Whether a group withstands a quantum computer, as far as is known: ML-KEM and Kyber, hybrid or alone, and
/// Google's CECPQ2 before them.
pub(super) const fn group_is_post_quantum(group: u16) -> bool {
    matches!(group, 512..=514 | 4587..=4590 | 0x4138 | 0x4139 | 25497 | 25498 | 0xfe30..=0xfe32)
}

/// `unknown_ca` for 48; a number that is not registered as `alert 200`.
pub fn alert_name(description: u8) -> Cow<'static, str> {
    Cow::Borrowed(match description {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        21 => "decryption_failed",
        22 => "record_overflow",
        30 => "decompression_failure",
        40 => "handshake_failure",
        41 => "no_certificate",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        52 => "too_many_cids_requested",
        60 => "export_restriction",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        100 => "no_renegotiation",
        109 => "missing_extension",
        110 => "unsupported_extension",
        111 => "certificate_unobtainable",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        114 => "bad_certificate_hash_value",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        117 => "general_error",
        120 => "no_application_protocol",
        121 => "ech_required",
        _ => return Cow::Owned(format!("alert {description}")),
    })
}

/// `ClientHello` for 1, in the spelling of RFC 5246 and RFC 8446; an unknown number as `handshake message 99`.
pub fn handshake_name(message: u8) -> Cow<'static, str> {
    Cow::Borrowed(match message {
        0 => "HelloRequest",
        1 => "ClientHello",
        2 => "ServerHello",
        3 => "HelloVerifyRequest",
        4 => "NewSessionTicket",
        5 => "EndOfEarlyData",
        6 => "HelloRetryRequest",
        8 => "EncryptedExtensions",
        11 => "Certificate",
        12 => "ServerKeyExchange",
        13 => "CertificateRequest",
        14 => "ServerHelloDone",
        15 => "CertificateVerify",
        16 => "ClientKeyExchange",
        20 => "Finished",
        21 => "CertificateURL",
        22 => "CertificateStatus",
        23 => "SupplementalData",
        24 => "KeyUpdate",
        25 => "CompressedCertificate",
        67 => "NextProtocol",
        203 => "EncryptedExtensions (channel id)",
        254 => "MessageHash",
        _ => return Cow::Owned(format!("handshake message {message}")),
    })
}

/// Whether a handshake message of this number exists.
pub(super) const fn handshake_exists(message: u8) -> bool {
    matches!(message, 0..=6 | 8 | 11..=16 | 20..=25 | 67 | 203 | 254)
}

/// Whether a cipher suite, group, version or extension number is one that clients throw in to keep servers
/// tolerant (RFC 8701).
pub(super) const fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// Whether a version is TLS 1.3 or one of its drafts.
pub(super) const fn is_tls13(version: u16) -> bool {
    version == 0x0304 || version >> 8 == 0x7f
}

fn unknown(number: u16) -> Cow<'static, str> {
    Cow::Owned(format!("0x{number:04x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_says_how_long_it_was() {
        let names = |count: usize| listed((0..count).map(|name| name.to_string()));
        assert_eq!(names(3), ["0", "1", "2"]);
        assert_eq!(names(LISTED).len(), LISTED);
        assert_eq!(names(8000)[LISTED - 1..], ["255", "and 7744 more"]);
    }

    #[test]
    fn numbers_have_their_registered_names() {
        assert_eq!(version_name(0x0304), "TLS 1.3");
        assert_eq!(version_name(0x7f12), "TLS 1.3 draft 18");
        assert_eq!(version_name(0x0909), "0x0909");
        assert_eq!(cipher_name(0x1302), "TLS_AES_256_GCM_SHA384");
        assert_eq!(cipher_name(0xfff0), "0xfff0");
        assert_eq!(group_name(29), "x25519");
        assert_eq!(alert_name(48), "unknown_ca");
        assert_eq!(alert_name(200), "alert 200");
        assert_eq!(handshake_name(14), "ServerHelloDone");
    }

    #[test]
    fn null_suites_do_not_encrypt() {
        for null in [0x0000, 0x0001, 0x003b, 0xc006, 0xc0b4] {
            assert!(!cipher_encrypts(null), "{}", cipher_name(null));
        }
        for real in [0x002f, 0x1301, 0xcca8, 0x1306, 0xc102] {
            assert!(cipher_encrypts(real), "{}", cipher_name(real));
        }
    }

    #[test]
    fn grease_is_both_bytes_alike() {
        assert!(is_grease(0x0a0a) && is_grease(0xfafa));
        assert!(!is_grease(0x0a1a) && !is_grease(0x1301));
    }
}
