//! The published document: kept in the repository, and true of the node.

use std::path::Path;

use crate::support::TestNode;

#[tokio::test]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    let node = TestNode::start().await;
    let served = reqwest::get(format!("{}/openapi.json", node.url())).await.unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    let served = served.text().await.unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&file, &served).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == served,
        "docs/openapi.json is not what is served: run `UPDATE_DOCUMENTS=1 cargo test openapi`, and look at the difference"
    );
}
