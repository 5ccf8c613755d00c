//! Whether a name of a certificate fits the name asked for (RFC 6125, section 6.4).

use std::net::IpAddr;

/// `presented` is the certificate's, `wanted` the client's. Letter case and a final dot do not matter. A `*`
/// stands for exactly one label, the leftmost, and never right below a top-level domain.
pub(super) fn matches(presented: &str, wanted: &str) -> bool {
    if let (Ok(presented), Ok(wanted)) = (presented.parse::<IpAddr>(), wanted.parse::<IpAddr>()) {
        return presented == wanted;
    }
    let presented = presented.strip_suffix('.').unwrap_or(presented);
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
    if presented.eq_ignore_ascii_case(wanted) {
        return !wanted.is_empty();
    }
    let Some(domain) = presented.strip_prefix("*.") else {
        return false;
    };
    let Some((label, rest)) = wanted.split_once('.') else {
        return false;
    };
    !label.is_empty()
        && domain.contains('.')
        && rest.eq_ignore_ascii_case(domain)
        && wanted.parse::<IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn names_fit_without_regard_to_case_and_final_dot() {
        assert!(matches("mx.example.test", "MX.example.test."));
        assert!(!matches("mx.example.test", "example.test"));
        assert!(!matches("", ""));
    }

    #[test]
    fn a_wildcard_is_one_whole_label_on_the_left() {
        assert!(matches("*.example.test", "mx.example.test"));
        assert!(!matches("*.example.test", "example.test"));
        assert!(!matches("*.example.test", "a.mx.example.test"));
        assert!(!matches("*.example.test", ".example.test"));
        assert!(!matches("m*.example.test", "mx.example.test"));
        assert!(!matches("mx.*.test", "mx.example.test"));
        assert!(!matches("*.test", "example.test"));
        assert!(!matches("*", "localhost"));
    }

    #[test]
    fn addresses_are_compared_as_such() {
        assert!(matches("2001:db8::1", "2001:DB8:0::1"));
        assert!(!matches("*.0.2.1", "192.0.2.1"));
    }
}
