//! Tokens for trying things out, signed with the local secret.

use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use shared::Id;

use crate::settings;

/// How long a token from here is good, in seconds: a week.
pub const LIFETIME_SECONDS: i64 = 7 * 86_400;

/// A token for a user, with the claim `plan` if there is one.
pub fn issue(user: &Id, plan: Option<&str>) -> String {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "sub": user,
        "iss": settings::value("JWT_ISSUER"),
        "aud": settings::value("JWT_AUDIENCE"),
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
    });
    if let Some(plan) = plan {
        claims["plan"] = plan.into();
    }
    sign(&claims)
}

/// A token with any claims, signed with the local secret.
///
/// # Panics
/// Never: claims are JSON and the secret is a constant.
pub fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_secret(settings::value("JWT_SECRET").as_bytes());
    encode(&Header::default(), claims, &key).expect("JSON claims and a constant key")
}
