//! Access tokens: issued to an account, verified on every request and at every handshake.
//!
//! A token is a JWT (HS256) over the secret as it is, so that a service beside natter that holds the secret can
//! read and make them. It opens nothing by itself: the account is read each time, and must be there, enabled,
//! and of the generation that the token names.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::api::TokenView;
use crate::app::App;
use crate::config::{AuthConfig, Secret};
use crate::domain::{Generation, Timestamp, User, UserId};

/// How far the clocks of two nodes may be apart.
const LEEWAY: Duration = Duration::from_secs(5);

/// No token of ours comes near: the longest name and address make less than 2 KiB.
const MAX_TOKEN_BYTES: usize = 4096;

/// What a token for calls and sockets is for. Links to media and others have another use.
const ACCESS: &str = "access";

const REFUSED: Error =
    Error::Unauthorized("The token is not valid, or not any more: sign in again.");

/// Our claims. Times are whole seconds: serde takes no text and no fraction for them.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: UserId,
    #[serde(default)]
    email: String,
    #[serde(default)]
    username: String,
    iss: String,
    aud: String,
    iat: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    #[serde(rename = "gen")]
    generation: u32,
    #[serde(rename = "use")]
    purpose: String,
    #[serde(default)]
    jti: String,
}

/// A new token for `user`, valid for `auth.token_lifetime` from `now` on.
///
/// # Errors
///
/// [`Error::Internal`] if it cannot be signed.
pub(crate) fn issue(app: &App, user: &User, now: Timestamp) -> Result<TokenView> {
    let auth = &app.config.auth;
    let lifetime = auth.token_lifetime.as_secs();
    let iat = now.as_millis() / 1000;
    let claims = Claims {
        sub: user.id,
        email: user.email.as_str().to_owned(),
        username: user.username.as_str().to_owned(),
        iss: auth.issuer.clone(),
        aud: auth.audience.clone(),
        iat,
        exp: iat + lifetime,
        nbf: None,
        generation: user.generation.0,
        purpose: ACCESS.to_owned(),
        jti: format!("{:032x}", rand::random::<u128>()),
    };
    let key = EncodingKey::from_secret(app.secret.expose().as_bytes());
    let access_token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
        .map_err(Error::internal)?;
    Ok(TokenView { access_token, token_type: "bearer", expires_in: lifetime })
}

/// The token in the value of an `Authorization` header, `Bearer <token>`.
pub fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whose token this is, if it opens anything now.
///
/// # Errors
///
/// [`Error::Unauthorized`] for a token that is none of ours, expired, for another use, or of an account that is
/// gone, disabled, or revoked it; [`Error::Unavailable`] if the store does not answer.
pub async fn verify(app: &App, token: &str) -> Result<User> {
    open(app, token).await.map(|(user, _expires_at)| user)
}

/// As [`verify`], with the time at which the token expires.
pub(crate) async fn open(app: &App, token: &str) -> Result<(User, Timestamp)> {
    let mut secrets = std::iter::once(&app.secret).chain(&app.previous_secret);
    let claims = secrets.find_map(|secret| read(&app.config.auth, secret, token)).ok_or(REFUSED)?;
    let user = app.store.user(claims.sub).await?.ok_or(REFUSED)?;
    if user.is_disabled || user.generation != Generation(claims.generation) {
        return Err(REFUSED);
    }
    let expires_at = claims.exp.saturating_mul(1000).try_into().unwrap_or(i64::MAX);
    Ok((user, Timestamp(expires_at)))
}

/// The claims of a token that is signed by us, for us, now.
fn read(auth: &AuthConfig, secret: &Secret, token: &str) -> Option<Claims> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
    validation.set_issuer(&[&auth.issuer]);
    validation.set_audience(&[&auth.audience]);
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    let read = jsonwebtoken::decode::<Claims>(token, &key, &validation).ok()?;
    let latest = Timestamp::now().plus(LEEWAY).as_millis() / 1000;
    // An extension that has to be understood is one that we do not understand.
    let is_plain = read.header.crit.is_none();
    let is_ours = read.claims.purpose == ACCESS && read.claims.iat <= latest && is_plain;
    is_ours.then_some(read.claims)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a secret of at least thirty-two bytes";

    fn now() -> u64 {
        Timestamp::now().as_millis() / 1000
    }

    fn claims() -> Value {
        json!({
            "sub": UserId::new(1, 1), "email": "ann@example.org", "username": "ann",
            "iss": "natter", "aud": "natter", "iat": now(), "exp": now() + 60,
            "gen": 0, "use": "access", "jti": "x",
        })
    }

    /// Signs any text as claims, under any header, as the holder of `secret` would.
    fn sign(header: &Value, claims: &str, secret: &str) -> String {
        use base64::Engine;
        use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
        let part = |text: &str| BASE64.encode(text);
        let signed = format!("{}.{}", part(&header.to_string()), part(claims));
        let key = EncodingKey::from_secret(secret.as_bytes());
        let signature =
            jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    }

    fn is_accepted(token: &str) -> bool {
        read(&AuthConfig::default(), &Secret::new(SECRET), token).is_some()
    }

    fn signed(claims: &str) -> String {
        sign(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET)
    }

    /// The claims with `name` replaced by a JSON text; without it when `None`.
    fn with(name: &str, value: Option<&str>) -> String {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        let rest = claims.to_string();
        match value {
            Some(value) => format!("{{\"{name}\":{value},{}", &rest[1..]),
            None => rest,
        }
    }

    #[test]
    fn what_is_right_is_accepted() {
        assert!(is_accepted(&signed(&claims().to_string())));
        for (name, value) in [
            ("exp", (now() - 3).to_string()),
            ("nbf", (now() + 3).to_string()),
            ("nbf", "0".to_owned()),
            ("iat", (now() + 3).to_string()),
            ("more", "{}".to_owned()),
        ] {
            assert!(is_accepted(&signed(&with(name, Some(&value)))), "{name}: {value}");
        }
    }

    #[test]
    fn only_hs256_by_our_secret_is_ours() {
        let text = claims().to_string();
        for alg in
            ["none", "None", "NonE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]
        {
            let token = sign(&json!({"alg": alg}), &text, SECRET);
            assert!(!is_accepted(&token), "{alg}");
            let (unsigned, _) = token.rsplit_once('.').unwrap();
            assert!(!is_accepted(&format!("{unsigned}.")), "{alg} unsigned");
        }
        for header in [
            json!({}),
            json!({"alg": 5}),
            json!({"alg": null}),
            json!({"alg": ["HS256"]}),
            json!({"alg": "HS256", "crit": ["exp"]}),
        ] {
            assert!(!is_accepted(&sign(&header, &text, SECRET)), "{header}");
        }
        for secret in ["another secret of thirty-two bytes or more", "x"] {
            assert!(!is_accepted(&sign(&json!({"alg": "HS256"}), &text, secret)));
        }
    }

    #[test]
    fn every_claim_that_decides_is_required() {
        for name in ["exp", "sub", "iat", "aud", "iss", "gen", "use"] {
            assert!(!is_accepted(&signed(&with(name, None))), "without {name}");
            for value in ["null", "{}", "[]", "true", "\"\"", "\"x\"", "{\"$gt\":\"\"}"] {
                assert!(!is_accepted(&signed(&with(name, Some(value)))), "{name}: {value}");
            }
        }
    }

    #[test]
    fn times_are_whole_seconds_and_hold() {
        let soon = now() + 60;
        for name in ["exp", "iat", "nbf"] {
            for value in [
                format!("\"{soon}\""),
                format!("{soon}.5"),
                "-1".to_owned(),
                "1e400".to_owned(),
                "1e10".to_owned(),
            ] {
                assert!(!is_accepted(&signed(&with(name, Some(&value)))), "{name}: {value}");
            }
        }
        for (name, value) in
            [("exp", now() - 10), ("exp", 0), ("nbf", now() + 60), ("iat", now() + 60)]
        {
            assert!(
                !is_accepted(&signed(&with(name, Some(&value.to_string())))),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn a_token_for_others_or_for_another_use_opens_nothing() {
        for (name, value) in [
            ("aud", "\"other\""),
            ("iss", "\"other\""),
            ("use", "\"media\""),
            ("use", "\"refresh\""),
        ] {
            assert!(!is_accepted(&signed(&with(name, Some(value)))), "{name}: {value}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = signed(&claims().to_string());
        let (start, _) = good.rsplit_once('.').unwrap();
        let long = with("more", Some(&format!("\"{}\"", "x".repeat(5000))));
        for none in [
            "",
            "..",
            "a.b.c",
            "a!.b.c",
            start,
            &format!("{good}.x"),
            &good[..good.len() - 2],
            &signed("[]"),
            &signed("{"),
            &signed(&"[".repeat(2000)),
            &signed(&long),
        ] {
            assert!(!is_accepted(none), "{none}");
        }
    }
}
