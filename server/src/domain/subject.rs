//! Finds the license that a command is about, and checks whether the license can be used.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::command::{Action, Command, Credential, PasswordProof, Token};
use super::refusal::Refusal;
use super::state::State;
use crate::catalogue::{Catalogue, License, Product, ProductStatus, User};

/// The license that a command is about, and the user who sends it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) license: Arc<License>,
    pub(super) user: Option<Arc<User>>,
}

impl Subject {
    /// Finds the product first, then the license.
    pub(super) fn find(state: &State, command: &Command) -> Result<Subject, Refusal> {
        let catalogue = &state.catalogue;
        let product = usable_product(catalogue, &command.product)?;
        match &command.credential {
            Credential::Key(key) => {
                let license = catalogue.license_with_key(&product.code, key).filter(|license| wanted(command, license));
                let license = license.cloned().ok_or(Refusal::LicenseNotFound)?;
                Ok(Subject { license, user: None })
            }
            credential => {
                let signed_in = SignedIn::find(state, credential)?;
                Subject::of_user(catalogue, command, &signed_in)
            }
        }
    }

    /// Finds the newest of the user's licenses that are in the account. A user may have licenses of several customers.
    fn of_user(catalogue: &Catalogue, command: &Command, signed_in: &SignedIn) -> Result<Subject, Refusal> {
        let username = &signed_in.username;
        let licenses = catalogue.licenses_of_user(&command.product, username);
        let licenses: Vec<_> = licenses.filter(|license| wanted(command, license)).collect();
        if licenses.is_empty() {
            return Err(Refusal::LicenseNotFound);
        }
        let license = licenses.into_iter().find(|license| signed_in.is_of_account(license));
        let license = license.ok_or(Refusal::CustomerAccountIdMismatch)?;
        Ok(Subject { license: Arc::clone(license), user: license.user(username).cloned() })
    }

    /// Refuses a command that the license's state does not allow.
    pub(super) fn require_usable(&self, command: &Command, now: DateTime<Utc>) -> Result<(), Refusal> {
        let license = &self.license;
        let asks_for_version = matches!(command.action, Action::ListVersions(_) | Action::FindInstallationFile { .. });
        if asks_for_version && !(license.active && license.enabled) {
            return Err(Refusal::ActiveLicenseRequired);
        }
        if !license.active {
            return Err(Refusal::LicenseNotActive);
        }
        if license.start_date.is_some_and(|start| now < start) {
            return Err(Refusal::LicenseNotStarted);
        }
        if command.is_vm && license.prevent_vm {
            return Err(Refusal::VirtualMachineRefused);
        }
        if !license.enabled {
            return Err(Refusal::LicenseNotEnabled);
        }
        let needs_validity = match command.action {
            Action::Activate { .. } | Action::BorrowLicense(_) | Action::BorrowFeature { .. } => true,
            Action::AddConsumption { .. } | Action::AddFeatureConsumption { .. } => true,
            Action::CheckLicense { .. } => license.floating.is_some(),
            _ => false,
        };
        if needs_validity { self.require_unexpired(now) } else { Ok(()) }
    }

    /// Refuses a license that has expired.
    pub(super) fn require_unexpired(&self, now: DateTime<Utc>) -> Result<(), Refusal> {
        match (self.license.is_expired(now), self.license.is_trial) {
            (false, _) => Ok(()),
            (true, false) => Err(Refusal::LicenseExpired),
            (true, true) => Err(Refusal::TrialExpired),
        }
    }
}

/// The user who has signed in.
#[derive(Debug)]
pub(super) struct SignedIn {
    pub(super) username: String,
    /// The number of the customer account by whose single sign-on the user has come; `None` without single sign-on.
    account: Option<u64>,
}

impl SignedIn {
    /// Finds the user whom a credential names, and checks its proof. Not every operation asks for the password.
    pub(super) fn find(state: &State, credential: &Credential) -> Result<SignedIn, Refusal> {
        match credential {
            Credential::Key(_) => Err(Refusal::LicenseNotFound),
            Credential::User { username, password } => {
                let user = state.catalogue.user(username).ok_or(Refusal::LicenseNotFound)?;
                let knows =
                    |proof: &PasswordProof| state.password(user).is_some_and(|password| proof.proves(&password));
                if password.as_ref().is_none_or(knows) {
                    Ok(SignedIn { username: username.clone(), account: None })
                } else {
                    Err(Refusal::LicenseNotFound)
                }
            }
            Credential::Token { token, customer_account_code } => {
                let account = state.catalogue.customer_account(customer_account_code);
                let account = account.ok_or(Refusal::CustomerAccountNotFound)?;
                let username = match token {
                    Token::Verified(username) => state.catalogue.user(username).map(|user| &user.username),
                    Token::IdToken(token) => account.id_tokens.get(token),
                    Token::Code(_) if account.sign_on.as_ref().is_some_and(|sign_on| sign_on.tokens.is_some()) => {
                        return Err(Refusal::CodeNotExchanged);
                    }
                    Token::Code(code) => account.codes.get(code),
                };
                let username = username.ok_or(Refusal::LicenseNotFound)?.clone();
                Ok(SignedIn { username, account: Some(account.label.id) })
            }
        }
    }

    /// Returns whether the user may use the license by the way in which they have signed in.
    pub(super) fn is_of_account(&self, license: &License) -> bool {
        let owner = license.customer.customer_account.as_ref().map(|owner| owner.id);
        self.account.is_none_or(|account| owner == Some(account))
    }
}

/// Returns the product with this code, if it can be used.
pub fn usable_product<'c>(catalogue: &'c Catalogue, code: &str) -> Result<&'c Arc<Product>, Refusal> {
    let product = catalogue.product(code).ok_or(Refusal::UnknownProduct)?;
    match product.status {
        ProductStatus::Enabled => Ok(product),
        ProductStatus::Disabled => Err(Refusal::DisabledProduct),
        ProductStatus::Archived => Err(Refusal::ArchivedProduct),
    }
}

/// Returns true if the command may be about the license, and does not name another one by its number.
fn wanted(command: &Command, license: &License) -> bool {
    let is_allowed = command.licenses.as_ref().is_none_or(|licenses| licenses.contains(&license.id));
    is_allowed && command.license_id.is_none_or(|id| id == license.id)
}
