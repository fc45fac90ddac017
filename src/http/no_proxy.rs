//! The list of hosts to connect to without a proxy, read as curl reads `NO_PROXY`.

use super::resolver::bare;
use std::net::IpAddr;

/// Returns true if `list` names `host`, which may be an address, with brackets if it is an IPv6 one.
///
/// Entries are separated by commas or blanks. A name also stands for all names below it; a point before it changes
/// nothing. An address may be a network, such as `10.20.0.0/16`. A single `*` stands for every host.
pub(super) fn is_excepted(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let host = bare(host);
    let mut entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
    match host.parse() {
        Ok(address) => entries.any(|entry| is_in_network(address, entry)),
        Err(_) => entries.any(|entry| is_in_domain(host, entry)),
    }
}

/// Returns true if `host` is the entry's name, or one below it.
fn is_in_domain(host: &str, entry: &str) -> bool {
    let without_end = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let (host, entry) = (without_end(host), without_end(entry));
    let domain = entry.strip_prefix('.').unwrap_or(&entry);
    match host.strip_suffix(domain) {
        Some(before) => !domain.is_empty() && (before.is_empty() || before.ends_with('.')),
        None => false,
    }
}

/// Returns true if `address` is the entry's address, or one of its network.
fn is_in_network(address: IpAddr, entry: &str) -> bool {
    let (network, prefix_bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse().ok()),
        None => (entry, Some(0)),
    };
    let (Ok(network), Some(prefix_bits)) = (network.parse(), prefix_bits) else {
        return false;
    };
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            begin_alike(u32::from(address).into(), u32::from(network).into(), prefix_bits, u32::BITS)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            begin_alike(address.into(), network.into(), prefix_bits, u128::BITS)
        }
        _ => false,
    }
}

/// Returns true if two numbers of `width_bits` are alike in their first bits; in all of them if `prefix_bits` is 0, since
/// curl takes that for "not given".
fn begin_alike(one: u128, other: u128, prefix_bits: u32, width_bits: u32) -> bool {
    let prefix_bits = if prefix_bits == 0 { width_bits } else { prefix_bits };
    prefix_bits <= width_bits && (one ^ other) >> (width_bits - prefix_bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_compared_with_networks_of_its_kind() {
        for (host, list, expected) in [
            ("10.20.30.40", "10.20.0.0/16", true),
            ("10.21.30.40", "10.20.0.0/16", false),
            ("10.20.30.40", "10.20.30.40/32", true),
            ("10.20.30.40", "10.20.30.40/33", false),
            ("10.20.30.40", "0.0.0.0/0", false),
            ("10.20.30.40", "10.20.0.0/sixteen", false),
            ("10.20.30.40", "20.30.40", false),
            ("10.20.30.40", "::/1", false),
            ("[2001:db8::1]", "2001:db8::1", true),
            ("[2001:db8::1]", "2001:db8:0::1", true),
            ("[2001:db8::1]", "2001:db8::/32", true),
            ("[2001:db9::1]", "2001:db8::/32", false),
            ("[2001:db9::1]", "2001:db8::/31", true),
            ("[2001:db8::1]", "2001:db8::/129", false),
            ("[2001:db8::1]", "[2001:db8::1]", false),
        ] {
            assert_eq!(is_excepted(host, list), expected, "{host} by {list}");
        }
    }

    #[test]
    fn name_is_compared_by_its_parts() {
        for (list, expected) in [
            ("licenses.corp.example", true),
            ("localhost, .corp.example", true),
            ("corp.example", true),
            ("CORP.example.", true),
            ("orp.example", false),
            ("*.corp.example", false),
            ("corp.example:80", false),
            ("*", true),
            ("*, localhost", false),
            (".", false),
            ("", false),
        ] {
            assert_eq!(is_excepted("Licenses.Corp.Example", list), expected, "{list}");
            assert_eq!(is_excepted("Licenses.Corp.Example.", list), expected, "{list}, with a point behind the host");
        }
    }
}
