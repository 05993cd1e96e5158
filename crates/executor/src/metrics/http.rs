//! As much of HTTP as metrics need (RFC 9112): one request a connection, of which only the first line counts.

/// Where metrics are.
const PATH: &[u8] = b"/metrics";

/// The media type of OpenMetrics 1.0.0, "Content type".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Metrics,
    /// Only what comes before them.
    Head,
    NotFound,
    NotAllowed,
    Malformed,
    TooLong,
    OtherVersion,
}

/// Reads a request, of which all up to the empty line has to be there; `None` when more is to come.
pub(super) fn read(bytes: &[u8], most: usize) -> Option<Request> {
    let line = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(end) => &bytes[..end],
        None if bytes.len() > most => return Some(Request::TooLong),
        // What does not begin with a method is none, and may never have a line's end.
        None => {
            let is_method = |byte: &u8| byte.is_ascii_uppercase();
            let mut method = bytes.split(|&byte| byte == b' ');
            let is_one = method.next().is_some_and(|it| it.iter().all(is_method));
            return (!is_one).then_some(Request::Malformed);
        }
    };
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let request = first_line(line);
    if matches!(request, Request::Malformed | Request::OtherVersion) {
        return Some(request);
    }
    if has_empty_line(bytes) {
        return Some(request);
    }
    (bytes.len() > most).then_some(Request::TooLong)
}

/// Whether there is a line with nothing on it.
fn has_empty_line(mut bytes: &[u8]) -> bool {
    while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
        if matches!(bytes[..end], [] | [b'\r']) {
            return true;
        }
        bytes = &bytes[end + 1..];
    }
    false
}

fn first_line(line: &[u8]) -> Request {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Request::Malformed;
    };
    if method.is_empty() || !method.iter().all(u8::is_ascii_uppercase) || target.is_empty() {
        return Request::Malformed;
    }
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => {}
        _ if version.starts_with(b"HTTP/") => return Request::OtherVersion,
        _ => return Request::Malformed,
    }
    let path = target.split(|&byte| byte == b'?').next();
    match (path == Some(PATH), method) {
        (false, _) => Request::NotFound,
        (true, b"GET") => Request::Metrics,
        (true, b"HEAD") => Request::Head,
        (true, _) => Request::NotAllowed,
    }
}

/// The answer to a request.
pub(super) fn answer(request: Request, metrics: impl FnOnce() -> String) -> Vec<u8> {
    let (status, more) = match request {
        Request::Metrics | Request::Head => ("200 OK", ""),
        Request::NotFound => ("404 Not Found", ""),
        Request::NotAllowed => ("405 Method Not Allowed", "Allow: GET, HEAD\r\n"),
        Request::Malformed => ("400 Bad Request", ""),
        Request::TooLong => ("431 Request Header Fields Too Large", ""),
        Request::OtherVersion => ("505 HTTP Version Not Supported", ""),
    };
    let (media, mut body) = match request {
        Request::Metrics | Request::Head => (OPEN_METRICS, metrics()),
        Request::NotFound => ("text/plain", "metrics are at /metrics\n".to_owned()),
        _ => ("text/plain", format!("{status}\n")),
    };
    let length = body.len();
    if request == Request::Head {
        body.clear();
    }
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 200;

    fn of(text: &str) -> Option<Request> {
        read(text.as_bytes(), MOST)
    }

    #[test]
    fn requests_are_understood() {
        let long = "a".repeat(MOST);
        for (text, request) in [
            ("GET /metrics HTTP/1.1\r\n\r\n", Request::Metrics),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Request::Metrics),
            (
                "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\nmore",
                Request::Metrics,
            ),
            ("GET /metrics?a=b HTTP/1.0\n\n", Request::Metrics),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Request::Head),
            ("POST /metrics HTTP/1.1\r\n\r\n", Request::NotAllowed),
            ("GET / HTTP/1.1\r\n\r\n", Request::NotFound),
            ("POST /metricsx HTTP/1.1\r\n\r\n", Request::NotFound),
            ("GET /metrics HTTP/2.0\r\n", Request::OtherVersion),
            ("GET /metrics\r\n", Request::Malformed),
            ("GET  HTTP/1.1\r\n", Request::Malformed),
            ("GET /metrics HTTP/1.1 x\r\n", Request::Malformed),
            ("\r\n", Request::Malformed),
            ("farcall\0", Request::Malformed),
            (&format!("GET /{long}"), Request::TooLong),
            (&format!("GET / HTTP/1.1\r\n{long}"), Request::TooLong),
        ] {
            assert_eq!(of(text), Some(request), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_there_yet_is_waited_for() {
        let whole = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]), None, "{:?}", &whole[..end]);
        }
    }
}
