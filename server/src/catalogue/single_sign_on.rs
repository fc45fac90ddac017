//! What the catalogue says about an identity provider: where users sign in, and what proves that they have.

/// The identity provider of a customer account.
#[derive(Debug, Clone)]
pub struct SingleSignOn {
    /// The provider's name, which each of its tokens carries as `iss`.
    pub issuer: String,
    /// The place where a program sends its user to sign in.
    pub authorization_endpoint: String,
    /// The place where a code is exchanged for a token.
    pub token_endpoint: String,
    /// The place where a user signs out.
    pub end_session_endpoint: String,
    /// The place where a token can be asked about.
    pub introspection_endpoint: String,
    /// The name that the provider knows the program by.
    pub client_id: String,
    /// The addresses that the provider may send a user back to, the default first.
    pub redirect_uris: Vec<String>,
    /// The way in which tokens are verified; `None` if the catalogue lists tokens in place of a provider.
    pub tokens: Option<TokenRules>,
}

/// The way in which tokens are verified.
#[derive(Debug, Clone)]
pub struct TokenRules {
    /// The recipient that a token must name as `aud`.
    pub audience: String,
    /// The claim that names the user.
    pub username_claim: String,
    /// The place of the provider's public keys, a JSON Web Key Set.
    pub keys: KeySource,
}

/// The place of a provider's public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which is read when the server starts.
    File(String),
    /// An address.
    Url(String),
}

impl SingleSignOn {
    /// Returns whether a user may be sent back to this address: it is one of the account's. A program that listens on this
    /// machine gets whichever port is free, so for such an address the port does not matter (RFC 8252, section 7.3).
    pub fn may_return_to(&self, redirect_uri: &str) -> bool {
        let is_same = |allowed: &String| {
            let parts = loopback_parts(allowed);
            allowed == redirect_uri || parts.is_some() && parts == loopback_parts(redirect_uri)
        };
        self.redirect_uris.iter().any(is_same)
    }

    /// Returns the address at which a user signs in and comes back to `redirect_uri`.
    pub fn sign_in_url(&self, response_type: &str, redirect_uri: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("client_id", &self.client_id);
        query.append_pair("response_type", response_type);
        query.append_pair("scope", "openid email");
        query.append_pair("redirect_uri", redirect_uri);
        let separator = if self.authorization_endpoint.contains('?') { '&' } else { '?' };
        format!("{}{separator}{}", self.authorization_endpoint, query.finish())
    }
}

/// Returns host and path of an address of the user's own machine, without the port.
fn loopback_parts(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = ["127.0.0.1", "[::1]"].into_iter().find(|host| authority.starts_with(host))?;
    let port = authority.strip_prefix(host)?;
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    is_port.then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(redirect_uris: &[&str]) -> SingleSignOn {
        SingleSignOn {
            issuer: String::new(),
            authorization_endpoint: String::new(),
            token_endpoint: String::new(),
            end_session_endpoint: String::new(),
            introspection_endpoint: String::new(),
            client_id: String::new(),
            redirect_uris: redirect_uris.iter().map(|uri| (*uri).to_owned()).collect(),
            tokens: None,
        }
    }

    #[test]
    fn port_matters_except_on_this_machine() {
        let account =
            account(&["http://127.0.0.1/in", "http://[::1]:9/in", "https://app.example.com/in", "studio://in"]);
        for allowed in ["http://127.0.0.1/in", "http://127.0.0.1:50123/in", "http://[::1]:1/in", "studio://in"] {
            assert!(account.may_return_to(allowed), "{allowed}");
        }
        for refused in [
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:1",
            "http://127.0.0.1:x/in",
            "http://127.0.0.1:1@evil.example.com/in",
            "http://127.0.0.1.evil.example.com/in",
            "http://localhost:1/in",
            "https://app.example.com:444/in",
            "studio://in2",
            "",
        ] {
            assert!(!account.may_return_to(refused), "{refused}");
        }
    }
}
