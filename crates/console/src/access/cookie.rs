//! The cookie that carries a session's secret.

use axum::http::{HeaderMap, HeaderValue, header};
use store::Secret;

/// Browsers accept this name over HTTPS only, from this host alone and for all its paths.
const OVER_HTTPS: &str = "__Host-gatepost";
/// Plain HTTP stays on this machine.
const OVER_HTTP: &str = "gatepost";

fn name(is_https: bool) -> &'static str {
    if is_https { OVER_HTTPS } else { OVER_HTTP }
}

/// The session that the browser has.
pub(super) fn read(headers: &HeaderMap, is_https: bool) -> Option<Secret> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(key, value)| (key == name(is_https)).then(|| Secret::read(value))?)
}

/// It ends with the browser; the session itself may end before.
pub(super) fn set(secret: &Secret, is_https: bool) -> HeaderValue {
    value(is_https, &secret.text(), "")
}

pub(super) fn clear(is_https: bool) -> HeaderValue {
    value(is_https, "", "; Max-Age=0")
}

fn value(is_https: bool, secret: &str, more: &str) -> HeaderValue {
    let (name, secure) = (name(is_https), if is_https { "; Secure" } else { "" });
    let cookie = format!("{name}={secret}; HttpOnly; SameSite=Lax; Path=/{secure}{more}");
    HeaderValue::try_from(cookie).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(cookies: &[&str], is_https: bool) -> Option<String> {
        let headers = cookies.iter().map(|value| (header::COOKIE, value.parse().unwrap())).collect();
        read(&headers, is_https).map(|secret| secret.text())
    }

    #[test]
    fn a_cookie_reads_back() {
        let secret = Secret::new().unwrap();
        let text = secret.text();
        for is_https in [false, true] {
            let set = set(&secret, is_https).to_str().unwrap().to_owned();
            let (pair, attributes) = set.split_once("; ").unwrap();
            assert_eq!(found(&[pair], is_https), Some(text.clone()));
            assert_eq!(found(&["a=b; c", &format!("gatepost=x;{pair} ; d=e")], is_https), Some(text.clone()));
            assert_eq!(found(&[pair], !is_https), None, "the other name is of another way");
            let secure = if is_https { "; Secure" } else { "" };
            assert_eq!(attributes, format!("HttpOnly; SameSite=Lax; Path=/{secure}"));
        }
        for wrong in
            ["", "gatepost", "gatepost=", "gatepost=\"", &format!("xgatepost={text}"), &format!("gatepost={text}x")]
        {
            assert_eq!(found(&[wrong], false), None, "{wrong}");
        }
        assert_eq!(clear(true), "__Host-gatepost=; HttpOnly; SameSite=Lax; Path=/; Secure; Max-Age=0");
    }
}
