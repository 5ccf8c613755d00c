//! Distinguished names as text (RFC 4514): last part first, special characters escaped.

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// `CN=mx.example.test,O=Example`. Types that RFC 4514 has no short name for get the customary one.
pub(super) fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts: Vec<Vec<String>> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect())
        .collect();
    let parts: Vec<String> = parts
        .iter()
        .rev()
        .map(|attributes| attributes.join("+"))
        .collect();
    parts.join(",")
}

/// The common names, as they are.
pub(super) fn common_names(name: &X509Name<'_>) -> Vec<String> {
    name.iter_common_name()
        .filter_map(|attribute| text(attribute.attr_value()))
        .collect()
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let kind = match oid2abbrev(kind, oid_registry()) {
        Ok("Email") => "emailAddress".to_owned(), // as OpenSSL and all who quote it have it
        Ok(kind) => kind.to_owned(),
        Err(_) => kind.to_id_string(),
    };
    let value = attribute.attr_value();
    match text(value) {
        Some(text) => format!("{kind}={}", escaped(&text)),
        None => value.data.iter().fold(format!("{kind}=#"), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}"); // to a String: can't fail
            hex
        }),
    }
}

fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            Some(String::from_utf8_lossy(value.data).into_owned())
        }
        // In practice Latin-1.
        Tag::T61String => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = value
                .data
                .chunks(2)
                .map(|pair| pair.iter().fold(0, |unit, &byte| unit << 8 | u16::from(byte)));
            Some(
                char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        _ => None,
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, character) in text.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => out.push('\\'),
            ' ' if at == 0 || at == last => out.push('\\'),
            '#' if at == 0 => out.push('\\'),
            '\0' => {
                out.push_str("\\00");
                continue;
            }
            _ => {}
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(escaped("Sue, Grabbit and Runn"), "Sue\\, Grabbit and Runn");
        assert_eq!(escaped("#1 + \\"), "\\#1 \\+ \\\\");
        assert_eq!(escaped(" x "), "\\ x\\ ");
        assert_eq!(escaped("a\0b"), "a\\00b");
    }
}
