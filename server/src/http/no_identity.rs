//! Stands in for [`IdentityProvider`] in builds that verify no tokens, such as the sandbox's library.

use crate::catalogue::TokenRules;

/// An identity provider. There is none in this build.
#[derive(Debug)]
pub(super) enum IdentityProvider {}

impl IdentityProvider {
    /// Refuses a catalogue that names a provider's keys: its tokens could not be told from forged ones.
    pub(super) fn new(_: &str, _: &TokenRules) -> Result<IdentityProvider, String> {
        Err("tokens of an identity provider are verified by `floatlease-server` alone; replace `jwks_file` or `jwks_url` by \
             `id_tokens`"
            .to_owned())
    }

    /// Never called, since there is no provider.
    pub(super) async fn username(&self, _: &str) -> Result<String, String> {
        match *self {}
    }
}
