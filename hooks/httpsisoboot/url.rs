// SPDX-License-Identifier: Apache-2.0
//! The URL of an image.

use std::net::Ipv6Addr;

/// Where an image is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ImageUrl {
    /// Name or address, IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query as written.
    pub(super) name: String,
}

/// What an HTTPS URL needs; the value itself may hold a secret and is not repeated.
pub(super) type Expected = &'static str;

impl ImageUrl {
    pub(super) fn parse(url: &str) -> Result<Self, Expected> {
        let url = url.trim();
        if url.chars().any(char::is_control) {
            return Err("no control characters");
        }
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        if !scheme.eq_ignore_ascii_case("https") {
            return Err("the scheme https");
        }
        let rest = rest.strip_prefix("//").ok_or("a host after https://")?;
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("no user or password, as nothing hands them on");
        }
        let (host, port) = split_port(authority)?;
        let rest = rest.split_once('#').map_or(rest, |(name, _)| name);
        let rest = rest.strip_suffix('?').filter(|path| !path.contains('?')).unwrap_or(rest);
        let name = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        Ok(Self { host: host.to_owned(), port, name })
    }
}

fn split_port(authority: &str) -> Result<(&str, u16), Expected> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or("] after an IPv6 address")?;
            address.parse::<Ipv6Addr>().map_err(|_| "an IPv6 address between [ and ]")?;
            let port = after.strip_prefix(':').or(after.is_empty().then_some(""));
            (address, port.ok_or("nothing but :PORT after ]")?)
        }
        None => {
            let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
            if host.is_empty() {
                return Err("a host after https://");
            }
            if !host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '~')) {
                return Err("a host of letters, digits, dots and hyphens");
            }
            (host, port)
        }
    };
    if port.is_empty() {
        return Ok((host, 443));
    }
    let number = port.parse().ok().filter(|&n: &u16| n > 0 && port.bytes().all(|b| b.is_ascii_digit()));
    number.map(|port| (host, port)).ok_or("a port from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(url: &str, host: &str, port: u16, name: &str) {
        let expected = ImageUrl { host: host.to_owned(), port, name: name.to_owned() };
        assert_eq!(ImageUrl::parse(url), Ok(expected), "{url}");
    }

    #[test]
    fn accepted() {
        is("https://server:8080/p/d.iso?x=1#frag", "server", 8080, "/p/d.iso?x=1");
        is("HTTPS://S.example.com/a%20b.iso?x=%26&y=?", "S.example.com", 443, "/a%20b.iso?x=%26&y=?");
        is(" https://10.0.0.1:/a b;c.iso ", "10.0.0.1", 443, "/a b;c.iso");
        is("https://s", "s", 443, "/");
        is("https://s#a?b", "s", 443, "/");
        is("https://s?a/b@c:d", "s", 443, "/?a/b@c:d");
        is("https://s/x?", "s", 443, "/x");
        is("https://s//x/../y", "s", 443, "//x/../y");
        is("https://[2001:db8::1]:8443/x", "2001:db8::1", 8443, "/x");
        is("https://[::1]", "::1", 443, "/");
        is("https://bücher.example:65535/x", "bücher.example", 65535, "/x");
    }

    #[test]
    fn refused() {
        for (url, expected) in [
            ("", "the scheme https"),
            ("server/x.iso", "the scheme https"),
            ("http://s/x", "the scheme https"),
            ("file:///x", "the scheme https"),
            ("https", "the scheme https"),
            ("https:x.iso", "a host after https://"),
            ("https:/s/x", "a host after https://"),
            ("https:///x", "a host after https://"),
            ("https://:80/x", "a host after https://"),
            ("https://u:p@s/x", "no user or password, as nothing hands them on"),
            ("https://u@[::1]/x", "no user or password, as nothing hands them on"),
            ("https://[::1/x", "] after an IPv6 address"),
            ("https://[s]/x", "an IPv6 address between [ and ]"),
            ("https://[::1]80/x", "nothing but :PORT after ]"),
            ("https://::1/x", "a host after https://"),
            ("https://s t/x", "a host of letters, digits, dots and hyphens"),
            ("https://s;t/x", "a host of letters, digits, dots and hyphens"),
            ("https://$(x)/x", "a host of letters, digits, dots and hyphens"),
            ("https://s\\t/x", "a host of letters, digits, dots and hyphens"),
            ("https://s:0/x", "a port from 1 to 65535"),
            ("https://s:65536/x", "a port from 1 to 65535"),
            ("https://s:-1/x", "a port from 1 to 65535"),
            ("https://s:+1/x", "a port from 1 to 65535"),
            ("https://s:1:2/x", "a port from 1 to 65535"),
            ("https://s:x/x", "a port from 1 to 65535"),
            ("https://s/x\ny", "no control characters"),
            ("https://s/\u{7f}", "no control characters"),
        ] {
            assert_eq!(ImageUrl::parse(url), Err(expected), "{url}");
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
        /// Values of the grammar are taken apart as they were put together.
        #[test]
        fn the_parts_are_what_was_given(scheme in "[hH][tT][tT][pP][sS]", host in "[a-z][a-z0-9.-]{0,12}", port in proptest::option::of(1_u16..), path in "/[a-zA-Z0-9/._%-]{0,16}", query in proptest::option::of("[a-z=&?]{1,8}"), fragment in proptest::option::of("[a-z?/#]{0,8}")) {
            let at = port.map_or(String::new(), |port| format!(":{port}"));
            let name = query.map_or(path.clone(), |query| format!("{path}?{query}"));
            let end = fragment.map_or(String::new(), |fragment| format!("#{fragment}"));
            let parsed = ImageUrl::parse(&format!("{scheme}://{host}{at}{name}{end}"));
            proptest::prop_assert_eq!(parsed, Ok(ImageUrl { host, port: port.unwrap_or(443), name }));
        }
    }
}
