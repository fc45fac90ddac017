//! Checks what users sign in with, before a command is applied: passwords against hashes, tokens against a provider's keys.
//!
//! Neither is a matter for the writer's thread, which everybody waits for.

use std::collections::HashMap;

#[cfg(feature = "identity-providers")]
use super::identity::IdentityProvider;
#[cfg(not(feature = "identity-providers"))]
use super::no_identity::IdentityProvider;
use super::passwords::{PasswordChecks, compare, compare_change};
use crate::catalogue::{Catalogue, Password};
use crate::domain::{Credential, Outcome, PasswordChange, PasswordProof, Refusal, Token};
use crate::writer::{Transaction, Writer};

/// Upper bound for the checks of one request. Another one is needed if the password was changed meanwhile.
const MOST_ATTEMPTS: usize = 3;

/// Checks of passwords and tokens.
#[derive(Debug)]
pub(super) struct SignIn {
    passwords: PasswordChecks,
    /// By code of customer account.
    providers: HashMap<String, IdentityProvider>,
}

/// The password that a client's password was compared with.
#[derive(Debug, Clone)]
struct Compared {
    username: String,
    present: Option<Password>,
}

impl SignIn {
    /// Reads the keys of identity providers that are in files.
    pub(super) fn new(catalogue: &Catalogue) -> Result<SignIn, String> {
        let mut providers = HashMap::new();
        for account in catalogue.customer_accounts() {
            let Some(sign_on) = &account.sign_on else { continue };
            let Some(rules) = &sign_on.tokens else { continue };
            let code = &account.label.code;
            let provider = IdentityProvider::new(&sign_on.issuer, rules);
            providers.insert(code.clone(), provider.map_err(|why| format!("customer_account {code:?}: {why}"))?);
        }
        Ok(SignIn { passwords: PasswordChecks::new(), providers })
    }

    /// Applies a command of a user who signs in with `given`. `apply` gets the credential after it was checked.
    pub(super) async fn apply(
        &self,
        writer: &Writer,
        given: Credential,
        apply: impl Fn(&Credential, &mut Transaction<'_>) -> Outcome + Clone + Send + 'static,
    ) -> Result<Outcome, Refusal> {
        for _ in 0..MOST_ATTEMPTS {
            let (credential, compared) = self.check(writer, given.clone()).await?;
            let apply = apply.clone();
            let work = move |transaction: &mut Transaction<'_>| {
                let counts = compared.is_none_or(|compared| compared.counts_in(transaction));
                counts.then(|| apply(&credential, transaction))
            };
            if let Some(outcome) = writer.work(work).await.ok_or(Refusal::InternalError)? {
                return Ok(outcome);
            }
        }
        Err(Refusal::InternalError)
    }

    /// Changes a password.
    pub(super) async fn change_password(
        &self,
        writer: &Writer,
        (username, old, new): (String, String, String),
    ) -> Result<Outcome, Refusal> {
        for _ in 0..MOST_ATTEMPTS {
            let compared = Compared::find(writer, &username).await?;
            let (old, new, present) = (old.clone(), new.clone(), compared.present.clone());
            let change = self.passwords.run(move || compare_change(old, new, present.as_ref())).await??;
            let change = PasswordChange {
                username: username.clone(),
                password: change.password,
                repeated: change.repeated,
                hash: change.hash,
                hash_of_plain: change.hash_of_plain,
            };
            let work = move |transaction: &mut Transaction<'_>| {
                let counts = compared.counts_in(transaction);
                counts.then(|| transaction.state.change_password(&change, *transaction.now, transaction.changes))
            };
            if let Some(outcome) = writer.work(work).await.ok_or(Refusal::InternalError)? {
                return Ok(outcome);
            }
        }
        Err(Refusal::InternalError)
    }

    /// Checks a credential. Returns it with what it proves, and what its password was compared with.
    async fn check(&self, writer: &Writer, given: Credential) -> Result<(Credential, Option<Compared>), Refusal> {
        match given {
            Credential::User { username, password: Some(PasswordProof::Text(text)) } => {
                let compared = Compared::find(writer, &username).await?;
                let present = compared.present.clone();
                let password = self.passwords.run(move || compare(text, present.as_ref())).await?;
                Ok((Credential::User { username, password: Some(password) }, Some(compared)))
            }
            Credential::Token { token: Token::IdToken(text), customer_account_code } => {
                let token = match self.providers.get(&customer_account_code) {
                    Some(provider) => provider.username(&text).await,
                    None => {
                        return Ok((Credential::Token { token: Token::IdToken(text), customer_account_code }, None));
                    }
                };
                let token = token.map(Token::Verified).unwrap_or_else(|why| {
                    tracing::info!("customer_account {customer_account_code:?}: a token was not accepted: {why}");
                    Token::IdToken(text)
                });
                Ok((Credential::Token { token, customer_account_code }, None))
            }
            other => Ok((other, None)),
        }
    }
}

impl Compared {
    /// Asks the writer for the password that counts.
    async fn find(writer: &Writer, username: &str) -> Result<Compared, Refusal> {
        let username = username.to_owned();
        let name = username.clone();
        let find = move |transaction: &mut Transaction<'_>| transaction.state.password_of(&name);
        let present = writer.work(find).await.ok_or(Refusal::InternalError)?;
        Ok(Compared { username, present })
    }

    /// Returns whether the password that was compared still counts.
    fn counts_in(&self, transaction: &Transaction<'_>) -> bool {
        transaction.state.password_of(&self.username) == self.present
    }
}
