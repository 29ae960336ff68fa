//! The operators' page: plain HTML, CSS and script that are part of the binary, and the headers under which browsers take them.
//!
//! Inputs: a GET of one of its files; for [`guarded`], any answer of the admin listener. Outputs: the file, the headers. It holds no data
//! and asks for no token: what it shows, its script reads from the API like any other client. It never lets a browser load, frame, run
//! or send anything that isn't its own.

use axum::{
    Router,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
    routing::get,
};

/// What the page may do: its own files and its own listener, and no text that becomes markup (`trusted-types`).
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
     frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
/// What every other answer may do if a browser is led to show it: nothing.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Every file: its path, its type, its text.
const FILES: [(&str, &str, &str); 13] = [
    ("/", HTML, include_str!("page.html")),
    ("/page.css", CSS, include_str!("page.css")),
    ("/page.js", SCRIPT, include_str!("page.js")),
    ("/page/api.js", SCRIPT, include_str!("api.js")),
    ("/page/card.js", SCRIPT, include_str!("card.js")),
    ("/page/dom.js", SCRIPT, include_str!("dom.js")),
    ("/page/drawing.js", SCRIPT, include_str!("drawing.js")),
    ("/page/live.js", SCRIPT, include_str!("live.js")),
    ("/page/operation.js", SCRIPT, include_str!("operation.js")),
    ("/page/order.js", SCRIPT, include_str!("order.js")),
    ("/page/shared.js", SCRIPT, include_str!("shared.js")),
    ("/page/together.js", SCRIPT, include_str!("together.js")),
    ("/page/words.js", SCRIPT, include_str!("words.js")),
];

/// The page's routes. They are open to whoever reaches the listener: there is nothing secret in them.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |router, (path, kind, text)| {
        Router::route(router, path, get(async move || ([(header::CONTENT_TYPE, kind)], text)))
    })
}

/// Whether that is the path of one of the page's files.
pub(super) fn is_file(path: &str) -> bool {
    FILES.iter().any(|(file, ..)| *file == path)
}

/// Puts the headers on an answer that say what a browser may do with it; those that concern every client are the gate's.
pub(super) async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == HTML);
    let policy = if html { PAGE_POLICY } else { DATA_POLICY };
    put(headers, header::CONTENT_SECURITY_POLICY, policy);
    put(headers, header::X_FRAME_OPTIONS, "DENY");
    put(headers, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str) -> &'static str {
        FILES.into_iter().find(|(found, ..)| *found == path).map_or("", |(_, _, text)| text)
    }

    #[test]
    fn every_file_that_is_named_is_there() {
        let quoted = |text: &'static str| text.split(['"', '\'']).filter(|word| word.starts_with("/page"));
        let relative = |text: &'static str| text.split(['"', '\'']).filter_map(|word| word.strip_prefix("./"));
        for (path, _, text_of_it) in FILES {
            for named in quoted(text_of_it) {
                assert!(!text(named).is_empty(), "{path} names {named}");
            }
            for named in relative(text_of_it).filter(|named| named.strip_suffix(".js").is_some()) {
                let base = if path == "/page.js" { "/" } else { "/page/" };
                assert!(!text(&format!("{base}{named}")).is_empty(), "{path} names {named}");
            }
        }
    }

    #[test]
    fn nothing_becomes_markup_and_nothing_is_outside() {
        for (path, _, text) in FILES {
            let words = [
                "innerHTML",
                "outerHTML",
                "insertAdjacent",
                "document.write",
                "eval(",
                "new Function",
                "style=",
                "onclick",
            ];
            for word in words {
                assert!(!text.contains(word), "{path}: {word}");
            }
            // The one address is the name of SVG's namespace, which nobody fetches.
            let outside = text.split("://").count() - 1 - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(outside, 0, "{path}");
            assert!(text.lines().count() <= 400, "{path} is too long to read");
        }
    }

    #[tokio::test]
    async fn headers_keep_browsers_honest() {
        let page = guarded(Response::builder().header("content-type", HTML).body("".into()).expect("an answer")).await;
        let policy = page.headers()["content-security-policy"].to_str().expect("text");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let data = guarded(Response::new("{}".into())).await;
        assert_eq!(data.headers()["x-frame-options"], "DENY");
        assert!(!data.headers()["content-security-policy"].to_str().expect("text").contains("'self'"));
    }
}
