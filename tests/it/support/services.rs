//! The real servers that `tests/services/run` has started for this run, if it has.

/// What `variable` says of a server, such as its URL. `None`, and loudly so, where there is none; where nothing may be
/// left out (`NATTER_TEST_STRICT`), that is a failure.
pub(crate) fn server(variable: &str) -> Option<String> {
    let strict = std::env::var_os("NATTER_TEST_STRICT").is_some_and(|strict| !strict.is_empty());
    found(variable, std::env::var(variable).ok(), strict)
}

fn found(variable: &str, told: Option<String>, strict: bool) -> Option<String> {
    if told.is_none() {
        let what = format!("{variable} is not set: run `tests/services/run cargo test`");
        assert!(!strict, "{what}");
        eprintln!("SKIPPED: {what}");
    }
    told
}

#[test]
fn servers_are_told_by_their_urls() {
    for (variable, scheme) in [
        ("NATTER_TEST_MONGODB_URL", "mongodb"),
        ("NATTER_TEST_NATS_URL", "nats"),
        ("NATTER_TEST_S3_URL", "s3"),
    ] {
        if let Some(url) = server(variable) {
            assert!(url.starts_with(scheme), "{variable} is {url}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_left_out_only_where_that_is_allowed() {
    assert_eq!(found("URL", Some("told".to_owned()), true).as_deref(), Some("told"));
    assert_eq!(found("URL", None, false), None);
    let strictly = std::panic::catch_unwind(|| found("URL", None, true));
    assert!(strictly.is_err());
}
