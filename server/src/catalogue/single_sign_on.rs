//! What the catalogue says about an identity provider: where users sign in, and what proves that they have.

/// The identity provider of a customer account.
#[derive(Debug)]
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
#[derive(Debug)]
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
