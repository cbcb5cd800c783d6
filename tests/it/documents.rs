//! The documents of the wire are what the node serves and the types say. `UPDATE_DOCUMENTS=1 cargo test documents` writes
//! them anew.

use std::path::Path;

use crate::support::{TestNode, http};

#[tokio::test]
async fn the_document_of_the_calls_is_the_one_that_is_served() {
    let node = TestNode::start().await;
    let served = http::get(format!("{}/openapi.json", node.url())).await.unwrap();
    assert_eq!(served.headers()["content-type"], "application/json");
    is_current("docs/openapi.json", &(served.text().await.unwrap() + "\n"));
}

#[test]
fn the_document_of_the_sockets_is_current() {
    let current = serde_norway::to_string(&natter::api::asyncapi::document()).unwrap();
    is_current("docs/asyncapi.yaml", &current);
}

#[test]
fn the_document_of_the_metrics_is_current() {
    is_current("docs/METRICS.md", &natter::metrics::document());
}

#[test]
fn every_reference_of_the_document_of_the_sockets_leads_somewhere() {
    let document = natter::api::asyncapi::document();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50, "{}", references.len());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect<'a>(value: &'a serde_json::Value, references: &mut Vec<&'a str>) {
    if let Some(reference) = value["$ref"].as_str() {
        references.push(reference);
    }
    if let Some(fields) = value.as_object() {
        fields.values().for_each(|field| collect(field, references));
    }
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| collect(item, references));
    }
}

/// Compares a document with what it ought to be, or writes it when asked to.
fn is_current(path: &str, current: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&path, current).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == current,
        "{} is out of date: run UPDATE_DOCUMENTS=1 cargo test documents",
        path.display()
    );
}
