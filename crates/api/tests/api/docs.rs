//! The documentation page, as a browser on a machine without any network sees it.

use api_testing::world;
use reqwest::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use reqwest::redirect::Policy;
use serde_json::Value;

/// What an HTML page loads: the values of `src` and `href`.
fn loaded(html: &str) -> Vec<&str> {
    let after = ["src=\"", "href=\""].iter().flat_map(|attribute| html.split(attribute).skip(1));
    after.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn every_file_of_the_page_is_served_by_us_and_may_run_under_its_policy() {
    let world = world().await;
    let base = format!("http://{}", world.api.address);
    let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
    let moved = http.get(format!("{base}/docs")).send().await.unwrap();
    assert_eq!((moved.status().as_u16(), moved.headers()[LOCATION].as_bytes()), (308, &b"/docs/"[..]));

    let page = http.get(format!("{base}/docs/")).send().await.unwrap();
    assert!(page.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    let policy = page.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let html = page.text().await.unwrap();
    // The policy runs no script that stands in the page itself.
    assert!(policy.contains("script-src 'self';") && !policy.contains("http"), "{policy}");
    assert!(html.split("<script").skip(1).all(|tag| tag.contains("></script>") || tag.contains("> </script>")), "{html}");

    let files = loaded(&html);
    assert!(files.len() >= 5, "{html}");
    for file in files {
        assert!(!file.contains("//"), "{file} is somebody else's");
        let answer = http.get(format!("{base}/docs/{}", file.trim_start_matches("./"))).send().await.unwrap();
        let extension = file.rsplit('.').next().unwrap();
        let media = match extension {
            "css" => "text/css",
            "js" => "text/javascript",
            "png" => "image/png",
            _ => panic!("{file}"),
        };
        assert_eq!(answer.status(), 200, "{file}");
        assert_eq!(answer.headers()[CONTENT_TYPE].to_str().unwrap().split(';').next(), Some(media), "{file}");
        assert!(answer.headers().get("content-encoding").is_none(), "{file}");
        let bytes = answer.bytes().await.unwrap();
        let whole = if media == "image/png" { bytes.starts_with(b"\x89PNG") } else { std::str::from_utf8(&bytes).is_ok() };
        assert!(whole && bytes.len() > 50, "{file}: what came is no {media}");
        if file.ends_with("swagger-initializer.js") {
            assert!(std::str::from_utf8(&bytes).unwrap().contains("\"url\": \"/openapi.json\""), "{bytes:?}");
        }
    }
    assert_eq!(http.get(format!("{base}/docs/none.js")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_document_that_is_served_is_the_one_that_is_kept() {
    let world = world().await;
    let answer = reqwest::get(format!("http://{}/openapi.json", world.api.address)).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], "application/json");
    let text = answer.text().await.unwrap();
    assert_eq!(text, api::router::text());
    assert!(serde_json::from_str::<Value>(&text).is_ok());
}
