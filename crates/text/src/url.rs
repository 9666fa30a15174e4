//! http(s) URLs that others fetch from: which of them hold secrets, and which are not protected on their way.

use std::net::IpAddr;

/// Whether `text` is an http(s) URL without white space.
pub fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()))
}

/// Whether `url` may hold a secret: a user or password, or a query such as `?token=…`.
pub fn may_hold_secret(url: &str) -> bool {
    url.contains(['@', '?', '#'])
}

/// `url` without the user and password in it, and with its query hidden.
pub fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    let hidden = rest.find(['?', '#']).map(|at| format!("{}{}<redacted>", &rest[..at], &rest[at..=at]));
    format!("{scheme}://{host}{}", hidden.as_deref().unwrap_or(rest))
}

/// Whether `url` is fetched over plain http from another computer than the one that fetches it.
pub fn is_in_the_clear(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    !(host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_of_what_is_shown() {
        for (url, shown) in [
            ("https://u:p@mirror.example/x@y", "https://mirror.example/x@y"),
            ("https://mirror.example/x@y", "https://mirror.example/x@y"),
            ("https://h/i.sh?token=s3cret/x@y", "https://h/i.sh?<redacted>"),
            ("https://u:p@h?token=s3cret", "https://h?<redacted>"),
            ("https://h/i.sh#s3cret?x", "https://h/i.sh#<redacted>"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[test]
    fn a_user_or_a_query_may_be_a_secret() {
        for url in ["https://u:p@h/x", "https://token@h/x", "https://h/x?token=s", "https://h?s", "https://h/x#s"] {
            assert!(may_hold_secret(url), "{url}");
        }
        assert!(!may_hold_secret("https://get.docker.com/rootless"));
    }

    #[test]
    fn plain_http_is_in_the_clear_but_on_the_loopback() {
        for url in
            ["http://h/x", "http://10.0.0.1:80", "http://127.0.0.1@h/", "http://127.0.0.1.h/", "http://[fd00::1]/"]
        {
            assert!(is_in_the_clear(url), "{url}");
        }
        for url in
            ["https://h/x", "http://127.0.0.1:9", "http://u:p@127.1.2.3/x", "http://[::1]:8/x", "http://LocalHost"]
        {
            assert!(!is_in_the_clear(url), "{url}");
        }
        // curl and browsers differ in what they take for the host here.
        assert!(is_in_the_clear(r"http://h\@127.0.0.1/"));
    }
}
