//! Who a node is to its server, and who the server has to be.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use natter::bus::BusError;
use natter::config::{BusAccess, Secret};
use natter::metrics::Metrics;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{connect, connect_as, hears, link_is, number, subject};
use crate::support::nats::NatsServer;

async fn is_let_in(url: &str, access: &BusAccess) {
    let bus = connect_as(url, access, &Metrics::new()).await.unwrap();
    link_is(&*bus, true).await;
    let subject = subject();
    let mut heard = bus.subscribe(&subject);
    bus.settled().await;
    bus.publish(&subject, number(1));
    hears(&mut heard, 1).await;
}

async fn is_refused(url: &str, access: &BusAccess, setting: &str) {
    let error = connect_as(url, access, &Metrics::new()).await.err().unwrap();
    assert!(matches!(error, BusError::Refused { .. } | BusError::Unusable { .. }), "{error}");
    let sentence = error.to_string();
    assert!(sentence.starts_with(setting), "{sentence}");
    assert!(!sentence.contains("s3cr3t") && !sentence.contains("SU"), "{sentence}");
}

fn file(folder: &tempfile::TempDir, name: &str, content: &str) -> Option<PathBuf> {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    Some(path)
}

#[tokio::test]
async fn a_user_needs_the_right_password_in_the_url_or_beside_it() {
    let config = "authorization { user: natter, password: \"s3cr3t@:/\" }";
    let Some(server) = NatsServer::start(config).await else { return };
    let none = BusAccess::default();
    is_let_in(&server.url("natter:s3cr3t%40%3a%2F"), &none).await;
    for credentials in ["natter:s3cr3t", "other:s3cr3t%40%3a%2F", "s3cr3t", ""] {
        is_refused(&server.url(credentials), &none, "bus.url").await;
    }
    let access = |password| BusAccess {
        user: Some("natter".to_owned()),
        password: Some(Secret::new(password)),
        ..BusAccess::default()
    };
    is_let_in(&server.url(""), &access("s3cr3t@:/")).await;
    is_refused(&server.url(""), &access("s3cr3t"), "bus.user").await;
}

#[tokio::test]
async fn a_token_is_as_good_as_a_user() {
    let Some(server) = NatsServer::start("authorization { token: s3cr3t }").await else { return };
    let access = |token| BusAccess { token: Some(Secret::new(token)), ..BusAccess::default() };
    is_let_in(&server.url("s3cr3t"), &BusAccess::default()).await;
    is_let_in(&server.url(""), &access("s3cr3t")).await;
    is_refused(&server.url(""), &access("s3cr3t2"), "bus.token").await;
}

#[tokio::test]
async fn the_holder_of_an_nkey_is_let_in() {
    let (ours, theirs) = (KeyPair::new_user(), KeyPair::new_user());
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", ours.public_key());
    let Some(server) = NatsServer::start(&config).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let access =
        |seed: &str| BusAccess { nkey_file: file(&folder, "seed", seed), ..BusAccess::default() };
    is_let_in(&server.url(""), &access(&format!("{}\n", ours.seed().unwrap()))).await;
    for wrong in [theirs.seed().unwrap().as_str(), "SUno", ""] {
        is_refused(&server.url(""), &access(wrong), "bus.nkey_file").await;
    }
}

/// A JWT as NATS has them: `claims` about `subject`, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({
        "jti": subject.public_key(), "iat": 1_700_000_000, "iss": issuer.public_key(),
        "name": "natter", "sub": subject.public_key(), "nats": claims,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&body));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_file_of_credentials_is_enough() {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (user, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let everything = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1,
    });
    let of_operator = jwt(&operator, &operator, &json!({"type": "operator", "version": 2}));
    let of_account = json!({"type": "account", "version": 2, "limits": everything});
    let of_account = jwt(&operator, &account, &of_account);
    let config = format!(
        "operator: \"{of_operator}\"\nresolver: MEMORY\nresolver_preload: {{ {}: \"{of_account}\" }}",
        account.public_key(),
    );
    let Some(server) = NatsServer::start(&config).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let of_user = json!({
        "type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
    });
    let access = |jwt: &str, seed: &KeyPair| {
        let both = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             *** keep it ***\n\n-----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            seed.seed().unwrap(),
        );
        BusAccess { credentials_file: file(&folder, "creds", &both), ..BusAccess::default() }
    };
    let good = jwt(&account, &user, &of_user);
    is_let_in(&server.url(""), &access(&good, &user)).await;
    // Another's key, an account that signs for itself, and no credentials at all.
    let self_made = jwt(&stranger, &user, &of_user);
    for wrong in [access(&good, &stranger), access(&self_made, &user)] {
        is_refused(&server.url(""), &wrong, "bus.credentials_file").await;
    }
    let wrong =
        BusAccess { credentials_file: file(&folder, "creds", "no"), ..BusAccess::default() };
    is_refused(&server.url(""), &wrong, "bus.credentials_file").await;
}

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/bus/tls").join(name)
}

#[tokio::test]
async fn servers_and_nodes_show_each_other_certificates() {
    let place = |name| pem(name).to_str().unwrap().to_owned();
    let config = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n\
         authorization {{ user: natter, password: s3cr3t }}",
        place("server.pem"),
        place("server.key"),
        place("ca.pem"),
    );
    let Some(server) = NatsServer::start(&config).await else { return };
    let url = server.url("natter:s3cr3t").replace("nats://", "tls://");
    let access = BusAccess {
        ca_file: Some(pem("ca.pem")),
        certificate_file: Some(pem("client.pem")),
        key_file: Some(pem("client.key")),
        ..BusAccess::default()
    };
    is_let_in(&url, &access).await;
    // A server that asks for TLS gets it, whatever the URL says.
    is_let_in(&server.url("natter:s3cr3t"), &access).await;
    is_refused(&url.replace("s3cr3t", "s3cr3t2"), &access, "bus.url").await;
    for (what, wrong) in [
        ("of another authority", BusAccess { ca_file: Some(pem("other.pem")), ..access.clone() }),
        ("of no authority of the system", BusAccess { ca_file: None, ..access.clone() }),
        ("shown none", BusAccess { ca_file: access.ca_file.clone(), ..BusAccess::default() }),
    ] {
        let bus = connect_as(&url, &wrong, &Metrics::new()).await.unwrap();
        assert!(!bus.link().borrow().is_up, "{what}");
    }
    let Some(plain) = NatsServer::start("").await else { return };
    let bus = connect(&plain.url("").replace("nats://", "tls://")).await.unwrap();
    assert!(!bus.link().borrow().is_up, "a server without TLS was spoken to in the clear");
}
