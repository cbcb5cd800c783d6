//! Plain HTTP.

/// What makes HTTP clients. Every client of these tests comes from here: reqwest panics without a crypto provider.
pub(crate) fn builder() -> reqwest::ClientBuilder {
    natter::tls::install();
    reqwest::Client::builder()
}

/// A client with the defaults.
pub(crate) fn client() -> reqwest::Client {
    builder().build().unwrap()
}

/// Gets `url`.
pub(crate) async fn get(url: impl reqwest::IntoUrl) -> reqwest::Result<reqwest::Response> {
    client().get(url).send().await
}
