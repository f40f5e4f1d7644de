//! Who a request comes from: the connection's peer, or the client that a trusted proxy names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};

use crate::error::Result;
use crate::gateway::config_error::config_error;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The peer of Unix sockets, in the configuration and in the log.
const UNIX: &str = "unix";

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gateway) enum Peer {
    /// An address. An IPv4 address is never in the form of IPv6.
    Ip(IpAddr),
    /// A process on this machine, by a Unix socket.
    Unix,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The header in which proxies name their clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
pub(in crate::gateway) enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    #[serde(rename = "X-Forwarded-For")]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies whose word on their clients counts.
#[derive(Debug, Clone, Default)]
pub(in crate::gateway) struct TrustedProxies {
    networks: Vec<Network>,
    unix: bool,
    header: ForwardedHeader,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address.ip().to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str(UNIX),
        }
    }
}

impl Peer {
    /// The address. Peers of Unix sockets have the unspecified one, which nobody can connect from.
    pub(in crate::gateway) fn ip(self) -> IpAddr {
        match self {
            Self::Ip(address) => address,
            Self::Unix => Ipv4Addr::UNSPECIFIED.into(),
        }
    }

    /// The network whose connections are limited together: an IPv4 address, or what a subscriber of IPv6 is given.
    pub(super) fn network(self) -> Option<Network> {
        match self {
            Self::Ip(address @ IpAddr::V4(_)) => Some(Network { address, prefix: 32 }),
            Self::Ip(address @ IpAddr::V6(_)) => Some(Network { address: of_one_client(address), prefix: 64 }),
            Self::Unix => None,
        }
    }
}

/// What one client can easily use in place of an address: an IPv4 address, or an IPv6 network of 64 bits.
pub(in crate::gateway) fn of_one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !(u128::MAX >> 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

impl Network {
    /// Parses `10.0.0.0/8`, or one address.
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().ok()?.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            // `parse` also accepts `+8`.
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => prefix.parse().ok()?,
            Some(_) => return None,
            None => bits,
        };
        (prefix <= bits).then_some(Self { address, prefix })
    }

    fn contains(self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(network), IpAddr::V4(other)) => {
                let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                (network.to_bits() ^ other.to_bits()) & !hosts == 0
            }
            (IpAddr::V6(network), IpAddr::V6(other)) => {
                let hosts = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                (network.to_bits() ^ other.to_bits()) & !hosts == 0
            }
            _ => false,
        }
    }
}

impl TrustedProxies {
    /// Reads the setting `trusted_proxies`.
    ///
    /// # Errors
    /// `Configuration` if one of them is neither an address, nor a network, nor `unix`.
    pub(in crate::gateway) fn new(proxies: &[String], header: ForwardedHeader) -> Result<Self> {
        let mut trusted = Self { header, ..Self::default() };
        for proxy in proxies {
            match Network::parse(proxy) {
                Some(network) => trusted.networks.push(network),
                None if proxy == UNIX => trusted.unix = true,
                None => {
                    return config_error(
                        "trusted_proxies must be addresses or networks, such as 10.0.0.0/8 or fd00::/8, or \"unix\"",
                    );
                }
            }
        }
        Ok(trusted)
    }

    /// Whether nobody is trusted.
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether this is a trusted proxy.
    pub(super) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.networks.iter().any(|network| network.contains(address)),
            Peer::Unix => self.unix,
        }
    }

    /// The client of a request: the last address in the header that is not a trusted proxy. What a client itself has
    /// written comes before it, and does not count. A value that cannot be read ends the search.
    pub(in crate::gateway) fn client(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        let mut client = peer;
        if !self.trusts(peer) {
            return client;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => FORWARDED,
        };
        for line in headers.get_all(name).iter().rev() {
            // Whatever a client has written, the proxy's own element can be read.
            let line = String::from_utf8_lossy(line.as_bytes());
            let elements = match self.header {
                ForwardedHeader::XForwardedFor => line.rsplit(',').collect(),
                ForwardedHeader::Forwarded => unquoted_rsplit(&line, b','),
            };
            for element in elements {
                let node = match self.header {
                    ForwardedHeader::XForwardedFor => Some(element.trim()),
                    ForwardedHeader::Forwarded => forwarded_for(element),
                };
                let Some(address) = node.and_then(parse_node) else { return client };
                client = Peer::Ip(address);
                if !self.trusts(client) {
                    return client;
                }
            }
        }
        client
    }
}

/// Splits a text at an ASCII character that is not within quotation marks, from the end: a quotation mark that a client
/// has not closed is before what a proxy has added.
fn unquoted_rsplit(text: &str, separator: u8) -> Vec<&str> {
    let bytes = text.as_bytes();
    let is_escaped = |index: usize| bytes[..index].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
    let (mut parts, mut end, mut quoted) = (Vec::new(), text.len(), false);
    for (index, byte) in bytes.iter().enumerate().rev() {
        if *byte == b'"' && !is_escaped(index) {
            quoted = !quoted;
        } else if *byte == separator && !quoted {
            parts.push(&text[index + 1..end]);
            end = index;
        }
    }
    parts.push(&text[..end]);
    parts
}

/// The node that the `for` of an element of `Forwarded` names.
fn forwarded_for(element: &str) -> Option<&str> {
    unquoted_rsplit(element, b';').into_iter().find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let value = value.trim();
        name.trim()
            .eq_ignore_ascii_case("for")
            .then(|| value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    })
}

/// Parses an address with or without a port, in brackets or not.
fn parse_node(node: &str) -> Option<IpAddr> {
    let address = match node.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => match node.strip_prefix('[').and_then(|node| node.strip_suffix(']')) {
            Some(address) => IpAddr::V6(address.parse().ok()?),
            None => node.parse::<SocketAddr>().ok()?.ip(),
        },
    };
    Some(address.to_canonical())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn proxies(list: &[&str], header: ForwardedHeader) -> Result<TrustedProxies> {
        TrustedProxies::new(&list.iter().map(|&proxy| proxy.to_owned()).collect::<Vec<_>>(), header)
    }

    fn peer(address: &str) -> Peer {
        Peer::Ip(address.parse().unwrap())
    }

    #[test]
    fn trusted_proxies_are_networks_addresses_or_unix() {
        let trusted =
            proxies(&["10.0.0.0/8", "192.0.2.7", "fd00::/8", "::1", "unix"], ForwardedHeader::default()).unwrap();
        for address in ["10.255.0.1", "192.0.2.7", "fd12::1", "::1"] {
            assert!(trusted.trusts(peer(address)), "{address}");
        }
        assert!(trusted.trusts(Peer::Unix));
        assert!(trusted.trusts(Peer::from("[::ffff:10.1.2.3]:80".parse::<SocketAddr>().unwrap())));
        for address in ["11.0.0.1", "192.0.2.8", "fe80::1", "::2"] {
            assert!(!trusted.trusts(peer(address)), "{address}");
        }
        assert!(proxies(&["0.0.0.0/0"], ForwardedHeader::default()).unwrap().trusts(peer("203.0.113.1")));
        for invalid in
            ["", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "proxy.example.com", "UNIX", "10.0.0.0/8/8"]
        {
            assert!(proxies(&[invalid], ForwardedHeader::default()).is_err(), "{invalid}");
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_a_proxy() {
        for (header, lines, client) in [
            ("x", &["203.0.113.9"][..], "203.0.113.9"),
            ("x", &["1.1.1.1, 203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            ("x", &["1.1.1.1", "203.0.113.9:8080 , 10.0.0.2"], "203.0.113.9"),
            ("x", &["[2001:db8::9]:443"], "2001:db8::9"),
            ("x", &["[2001:db8::9]"], "2001:db8::9"),
            ("x", &["2001:db8::9"], "2001:db8::9"),
            ("x", &["::ffff:203.0.113.9"], "203.0.113.9"),
            ("x", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("x", &["203.0.113.9, unknown"], "10.0.0.1"),
            ("x", &["203.0.113.9, , 10.0.0.2"], "10.0.0.2"),
            ("x", &[""], "10.0.0.1"),
            ("x", &[], "10.0.0.1"),
            ("f", &["for=1.1.1.1, for=203.0.113.9;proto=https;by=10.0.0.1"], "203.0.113.9"),
            ("f", &["proto=https;FOR=\"203.0.113.9:1\""], "203.0.113.9"),
            ("f", &["for=\"[2001:db8::9]:4711\", for=10.0.0.2"], "2001:db8::9"),
            ("f", &["for=\"a,b\\\",c\";x=1"], "10.0.0.1"),
            ("f", &["for=203.0.113.9, for=_hidden"], "10.0.0.1"),
            ("f", &["proto=https"], "10.0.0.1"),
            ("f", &["for=\"203.0.113.9"], "10.0.0.1"),
            // What a client has written does not change what the proxy has added.
            ("x", &["\"1.1.1.1, 203.0.113.9"], "203.0.113.9"),
            ("x", &["\u{ff}, 203.0.113.9"], "203.0.113.9"),
            ("f", &["for=\", for=203.0.113.9"], "203.0.113.9"),
            ("f", &["for=\"\\, for=\"203.0.113.9:1\""], "203.0.113.9"),
            ("f", &["\u{ff}, for=203.0.113.9"], "203.0.113.9"),
        ] {
            let (form, name) = match header {
                "x" => (ForwardedHeader::XForwardedFor, X_FORWARDED_FOR),
                _ => (ForwardedHeader::Forwarded, FORWARDED),
            };
            let trusted = proxies(&["10.0.0.0/8"], form).unwrap();
            let headers: HeaderMap =
                lines.iter().map(|line| (name.clone(), HeaderValue::try_from(line.as_bytes()).unwrap())).collect();
            assert_eq!(trusted.client(peer("10.0.0.1"), &headers), peer(client), "{lines:?}");
            // Others cannot name a client.
            assert_eq!(trusted.client(peer("198.51.100.1"), &headers), peer("198.51.100.1"), "{lines:?}");
            assert_eq!(trusted.client(Peer::Unix, &headers), Peer::Unix, "{lines:?}");
        }
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_limited_together() {
        assert_eq!(peer("2001:db8::1").network(), peer("2001:db8::ffff:1").network());
        assert_ne!(peer("2001:db8::1").network(), peer("2001:db8:0:1::1").network());
        assert_ne!(peer("192.0.2.1").network(), peer("192.0.2.2").network());
        assert_eq!(Peer::Unix.network(), None);
    }
}
