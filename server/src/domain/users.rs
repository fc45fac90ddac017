//! Users: who signs in, what each may use, and how a user's password changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::change::Change;
use super::changed_password::ChangedPassword;
use super::command::{Credential, PasswordProof};
use super::refusal::Refusal;
use super::reply::{Outcome, Reply};
use super::state::{State, Transition};
use super::subject::{SignedIn, usable_product};
use super::view::{CustomerUsers, LicenseUser};
use crate::catalogue::{AuthorizationMethod, License, Product, User};

/// A request to change a password. Its passwords are checked and hashed, which would take too long in here.
#[derive(Debug, Clone)]
pub struct PasswordChange {
    /// The user's name.
    pub username: String,
    /// What the present password proves that the client has sent.
    pub password: PasswordProof,
    /// What the new password proves. It is the present one if the request was carried out before.
    pub repeated: PasswordProof,
    /// The hash of the new password.
    pub hash: String,
    /// The hash of the present password, if it is the catalogue's and the catalogue holds it as it is.
    pub hash_of_plain: Option<String>,
}

impl State {
    /// Changes a password, if the client knows the present one.
    ///
    /// The same request a second time finds the new password in place, and gets the same reply: its client knows the present
    /// password, and would otherwise take the change for refused.
    pub fn change_password(
        &mut self,
        change: &PasswordChange,
        now: DateTime<Utc>,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let user = Arc::clone(self.catalogue.user(&change.username).ok_or(Refusal::LicenseNotFound)?);
        let present = self.password(&user).ok_or(Refusal::LicenseNotFound)?;
        let has_happened = self.passwords.contains_key(&user.id) && change.repeated.proves(&present);
        let knows_present = change.password.proves(&present);
        if !knows_present && !has_happened {
            return Err(Refusal::LicenseNotFound);
        }
        if !user.may_change_password {
            return Err(Refusal::ChangePasswordNotAllowed);
        }
        if knows_present {
            // A password that was changed before has replaced the catalogue's as it still is: an edit would have ended it.
            let before = self.passwords.get(&user.id).map(|password| password.replaced.clone());
            let of_catalogue = || user.password.as_ref()?.hash().map(str::to_owned);
            let replaced = before.or_else(of_catalogue).or_else(|| change.hash_of_plain.clone());
            let replaced = replaced.ok_or(Refusal::InternalError)?;
            let password = ChangedPassword { hash: change.hash.clone(), replaced };
            Transition { state: self, now, changes }.record(Change::PasswordChanged { user_id: user.id, password });
        }
        Ok(Reply::PASSWORD_CHANGED)
    }

    /// Returns the reply to `user_licenses`: the licenses of a product that the user may use, the newest first.
    ///
    /// Those that can't be used at present are among them, and their members say why. A user who has come by single sign-on
    /// sees the licenses of that account alone.
    pub fn user_licenses(&mut self, product: &str, credential: &Credential, now: DateTime<Utc>) -> Outcome {
        let product = user_based(usable_product(&self.catalogue, product)?)?;
        let signed_in = SignedIn::find(self, credential)?;
        let user = self.catalogue.user(&signed_in.username).ok_or(Refusal::LicenseNotFound)?;
        let licenses = self.catalogue.licenses_of_user(&product.code, &user.username);
        let licenses = licenses.filter(|license| signed_in.is_of_account(license));
        Ok(Reply::UserLicenses(licenses.map(|license| self.license_user(license, user, now)).collect()))
    }

    /// Returns the reply to `customer_license_users`: the users of the customer's licenses of a product.
    pub fn customer_license_users(&mut self, product: &str, email: &str, now: DateTime<Utc>) -> Outcome {
        let product = user_based(usable_product(&self.catalogue, product)?)?;
        let customer = self.catalogue.customer(email).ok_or(Refusal::CustomerDoesNotExist)?;
        let is_theirs = |license: &&Arc<License>| license.product.id == product.id && license.customer.email == email;
        let licenses: Vec<_> = self.catalogue.licenses().iter().filter(is_theirs).collect();
        if licenses.is_empty() {
            return Err(Refusal::CustomerNotFound);
        }
        let users = licenses.into_iter().flat_map(|license| license.users().iter().map(move |user| (license, user)));
        let users = users.map(|(license, user)| self.license_user(license, user, now)).collect();
        Ok(Reply::CustomerUsers(CustomerUsers { customer: Arc::clone(customer), users }))
    }

    fn license_user(&self, license: &Arc<License>, user: &Arc<User>, now: DateTime<Utc>) -> LicenseUser {
        let record = self.licenses.get(&license.id);
        LicenseUser {
            license: Arc::clone(license),
            user: self.user_view(user),
            is_expired: license.is_expired(now),
            times_activated: record.map_or(0, |record| record.times_activated),
            transfer_count: record.map_or(0, |record| record.transfer_count),
        }
    }
}

/// Refuses a product whose licenses are named by keys.
pub fn user_based(product: &Arc<Product>) -> Result<&Arc<Product>, Refusal> {
    match product.authorization_method {
        AuthorizationMethod::User => Ok(product),
        AuthorizationMethod::LicenseKey => Err(Refusal::InvalidProductAuthMethod),
    }
}
