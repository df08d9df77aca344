//! `muster store compact`.

use super::{Ran, Site};

#[tokio::test]
async fn a_file_is_compacted_once_its_gateway_is_stopped() {
    let site = Site::new();
    let gateway = crate::support::Process::start(&site.dir("one"), &[]).await;
    let compact = |json: bool| {
        let dir = site.dir("one").to_str().unwrap().to_owned();
        let site = &site;
        async move {
            let words = ["store", "compact", "--data-dir", &dir, "-o", "json"];
            let count = if json { words.len() } else { 4 };
            site.run(&words[..count]).await
        }
    };
    let busy: Ran = compact(false).await;
    assert_eq!(busy.code, Some(1), "{}", busy.out);
    assert!(busy.err.contains("stop that one"), "{}", busy.err);
    gateway.stop(crate::support::PATIENCE).await;
    let done = compact(true).await;
    assert_eq!(done.code, Some(0), "{}", done.err);
    let sizes = done.json();
    assert!(sizes["bytes_after"].as_u64() <= sizes["bytes_before"].as_u64());
    let told = compact(false).await;
    assert!(told.out.contains("it has"), "{}", told.out);
}

#[tokio::test]
async fn a_store_on_redis_has_no_file() {
    let site = Site::new();
    let url = site.url();
    let refused = site.run(&["store", "compact", "--store", &url]).await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.err.contains("no file of muster's"),
        "{}",
        refused.err
    );
}
