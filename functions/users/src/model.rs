//! A user as the store has it: everything that any client ever needed.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{ApiError, Id, slim::Slim, values::Address};

/// The stored record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The user's id, which is also the `sub` of their tokens.
    pub id: Id,
    /// Grows by one with each change. A record without one has never been changed here.
    #[serde(default = "first_version")]
    pub version: u64,
    /// Login name.
    pub username: String,
    /// E-mail address.
    pub email: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E.164 or a national format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// `YYYY-MM-DD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<String>,
    /// Key of the profile picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Postal address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Settings.
    pub preferences: Preferences,
    /// Times.
    pub metadata: Metadata,
}

/// What a user may set about the app and its messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Slim)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object of settings")]
pub struct Preferences {
    /// BCP 47, for example `en` or `pt-BR`.
    pub language: String,
    /// IANA name, for example `America/Los_Angeles`.
    pub timezone: String,
    /// Whether push messages are wanted.
    pub notifications_enabled: bool,
    /// Whether advertising is wanted.
    pub marketing_emails_enabled: bool,
}

/// Times of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Slim)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Last login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_login_at: Option<Timestamp>,
    /// Sign-up.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created_at: Timestamp,
    /// Last change.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub updated_at: Timestamp,
}

/// The part of a record that its owner may change. Nothing else of a request ever reaches the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub struct Editable {
    /// Given name, 1 to 100 characters.
    pub first_name: String,
    /// Family name, 1 to 100 characters.
    pub last_name: String,
    /// Settings.
    pub preferences: Preferences,
}

fn first_version() -> u64 {
    1
}

impl User {
    /// Given and family name.
    pub fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }

    /// The part that the owner may change.
    pub fn editable(&self) -> Editable {
        Editable {
            first_name: self.first_name.clone(),
            last_name: self.last_name.clone(),
            preferences: self.preferences.clone(),
        }
    }
}

impl Editable {
    /// Checks lengths and forms.
    ///
    /// # Errors
    /// `VALIDATION_ERROR` that names the field.
    pub fn validate(&self) -> Result<(), ApiError> {
        for (field, value) in [("firstName", &self.first_name), ("lastName", &self.last_name)] {
            if value.trim().is_empty() || value.chars().count() > 100 || value.chars().any(char::is_control) {
                return Err(ApiError::validation(field, "must have 1 to 100 characters"));
            }
        }
        let tag = |text: &str, extra: &[u8], longest: usize| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || extra.contains(&byte);
            (1..=longest).contains(&text.len()) && text.bytes().all(legal)
        };
        if !tag(&self.preferences.language, b"-", 35) {
            return Err(ApiError::validation("preferences.language", "must be a language tag such as en or pt-BR"));
        }
        if !tag(&self.preferences.timezone, b"/_+-", 64) {
            return Err(ApiError::validation(
                "preferences.timezone",
                "must be a time zone such as America/Los_Angeles",
            ));
        }
        Ok(())
    }
}
