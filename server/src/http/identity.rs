//! Verifies the tokens of an identity provider: their signature, who issued them, for whom, and for how long.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::key_set::KeySet;
use crate::catalogue::TokenRules;

/// Time by which the provider's clock may differ from this machine's.
const LEEWAY_SECONDS: u64 = 30;

/// The algorithms of RSA keys. A key with a secret (HMAC) is never accepted: a client knows the provider's public key, and
/// could sign with it as if it were the secret.
const OF_RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// An identity provider whose tokens are accepted.
#[derive(Debug)]
pub(super) struct IdentityProvider {
    issuer: String,
    audience: String,
    username_claim: String,
    keys: KeySet,
}

impl IdentityProvider {
    pub(super) fn new(issuer: &str, rules: &TokenRules) -> Result<IdentityProvider, String> {
        Ok(IdentityProvider {
            issuer: issuer.to_owned(),
            audience: rules.audience.clone(),
            username_claim: rules.username_claim.clone(),
            keys: KeySet::open(&rules.keys)?,
        })
    }

    /// Returns the user whom the token names, or why it is not accepted. The reason does not show the token.
    pub(super) async fn username(&self, token: &str) -> Result<String, String> {
        let header = decode_header(token).map_err(|error| format!("the token's header is invalid: {error}"))?;
        let set = self.keys.with_key(header.kid.as_deref()).await;
        let key = find_key(&set, header.kid.as_deref())?;
        self.username_by(token, header.alg, key)
    }

    fn username_by(&self, token: &str, algorithm: Algorithm, jwk: &Jwk) -> Result<String, String> {
        let mut rules = Validation::new(allowed(jwk, algorithm)?);
        rules.leeway = LEEWAY_SECONDS;
        rules.validate_nbf = true;
        rules.set_audience(&[&self.audience]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        let key = DecodingKey::from_jwk(jwk).map_err(|error| format!("the provider's key is invalid: {error}"))?;
        let claims = decode::<Map<String, Value>>(token, &key, &rules).map_err(|error| error.to_string())?.claims;
        if self.username_claim == "email" && claims.get("email_verified") == Some(&Value::Bool(false)) {
            return Err("the provider has not verified the e-mail address".to_owned());
        }
        let name = claims.get(&self.username_claim).and_then(Value::as_str).filter(|name| !name.is_empty());
        name.map(str::to_owned).ok_or_else(|| format!("the claim {:?} is missing", self.username_claim))
    }
}

/// Returns the key that the token names. A token that names none is only accepted if there is no choice.
fn find_key<'s>(set: &'s JwkSet, name: Option<&str>) -> Result<&'s Jwk, String> {
    match (name, set.keys.as_slice()) {
        (Some(name), _) => set.find(name).ok_or_else(|| "the provider has no key of the token's name".to_owned()),
        (None, [only]) => Ok(only),
        (None, _) => Err("the token names no key, and the provider has not exactly one".to_owned()),
    }
}

/// Returns the token's algorithm, if it is one of this key.
fn allowed(jwk: &Jwk, algorithm: Algorithm) -> Result<Algorithm, String> {
    let of_key: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &OF_RSA,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
        _ => &[],
    };
    let is_named = jwk.common.key_algorithm.as_ref().is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
    let signs = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
    if of_key.contains(&algorithm) && is_named && signs {
        Ok(algorithm)
    } else {
        Err(format!("the provider's key does not sign by {algorithm:?}"))
    }
}
