//! Finds the license that a command is about, and checks whether the license can be used.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::command::{Action, Command, Credential, Token};
use super::refusal::Refusal;
use crate::catalogue::{Catalogue, License, ProductStatus, User};

/// The license that a command is about, and the user who sends it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) license: Arc<License>,
    pub(super) user: Option<Arc<User>>,
}

impl Subject {
    /// Finds the product first, then the license.
    pub(super) fn find(catalogue: &Catalogue, command: &Command) -> Result<Subject, Refusal> {
        let product = catalogue.product(&command.product).ok_or(Refusal::UnknownProduct)?;
        match product.status {
            ProductStatus::Enabled => {}
            ProductStatus::Disabled => return Err(Refusal::DisabledProduct),
            ProductStatus::Archived => return Err(Refusal::ArchivedProduct),
        }
        match &command.credential {
            Credential::Key(key) => {
                let license = catalogue.license_with_key(&product.code, key).filter(|license| wanted(command, license));
                let license = license.cloned().ok_or(Refusal::LicenseNotFound)?;
                Ok(Subject { license, user: None })
            }
            Credential::User { username, password } => {
                let subject = Subject::of_user(catalogue, command, username, |_| true)?;
                let knows = |user: &Arc<User>| password.as_ref().is_none_or(|password| user.has_password(password));
                if subject.user.as_ref().is_some_and(knows) { Ok(subject) } else { Err(Refusal::LicenseNotFound) }
            }
            Credential::Token { token, customer_account_code } => {
                let account = catalogue.customer_account(customer_account_code);
                let account = account.ok_or(Refusal::CustomerAccountNotFound)?;
                let username = match token {
                    Token::IdToken(token) => account.id_tokens.get(token),
                    Token::Code(code) => account.codes.get(code),
                };
                let username = username.ok_or(Refusal::LicenseNotFound)?;
                let owner = |license: &License| license.customer.customer_account.as_ref().map(|owner| owner.id);
                let of_account = |license: &License| owner(license) == Some(account.label.id);
                Subject::of_user(catalogue, command, username, of_account)
            }
        }
    }

    /// Finds the newest of the user's licenses that are in the account. A user may have licenses of several customers.
    fn of_user(
        catalogue: &Catalogue,
        command: &Command,
        username: &str,
        of_account: impl Fn(&License) -> bool,
    ) -> Result<Subject, Refusal> {
        let licenses = catalogue.licenses_of_user(&command.product, username);
        let licenses: Vec<_> = licenses.filter(|license| wanted(command, license)).collect();
        if licenses.is_empty() {
            return Err(Refusal::LicenseNotFound);
        }
        let license = licenses.into_iter().find(|license| of_account(license));
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

fn wanted(command: &Command, license: &License) -> bool {
    command.license_id.is_none_or(|id| id == license.id)
}
