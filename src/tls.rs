//! The one crypto provider of the process, for every client here that speaks TLS.

/// Makes ring the provider, unless there is one already. To be called before a client is made that asks for the
/// provider of the process (object_store's and reqwest's do); as often as one likes.
pub fn install() {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
