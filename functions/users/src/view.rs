//! A user as clients see it.

use schemars::JsonSchema;
use shared::{
    http::{
        context::{V1, V2},
        view::Shape,
    },
    image::{Addresses, ImageView},
    slim::Slim,
    values::Address,
};

use crate::model::{Metadata, Preferences, User};

/// Version 1: the avatar is an address.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct UserV1<'a> {
    id: &'a str,
    name: String,
    #[slim(detail)]
    email: &'a str,
    #[slim(detail)]
    avatar: Option<String>,
    #[slim(full)]
    username: &'a str,
    #[slim(full)]
    phone_number: Option<&'a str>,
    #[slim(full)]
    date_of_birth: Option<&'a str>,
    #[slim(full, nested)]
    address: Option<&'a Address>,
    #[slim(full, nested)]
    preferences: &'a Preferences,
    #[slim(full, nested)]
    metadata: &'a Metadata,
}

/// Version 2: the avatar comes in sizes, names come apart as well, and the version is there for the next write.
#[derive(Debug, JsonSchema, Slim)]
#[schemars(rename_all = "camelCase")]
pub struct UserV2<'a> {
    id: &'a str,
    name: String,
    #[slim(detail)]
    email: &'a str,
    #[slim(detail, nested)]
    avatar: Option<ImageView>,
    #[slim(full)]
    version: u64,
    #[slim(full)]
    username: &'a str,
    #[slim(full)]
    first_name: &'a str,
    #[slim(full)]
    last_name: &'a str,
    #[slim(full)]
    phone_number: Option<&'a str>,
    #[slim(full)]
    date_of_birth: Option<&'a str>,
    #[slim(full, nested)]
    address: Option<&'a Address>,
    #[slim(full, nested)]
    preferences: &'a Preferences,
    #[slim(full, nested)]
    metadata: &'a Metadata,
}

impl Shape<User, Addresses> for V1 {
    type View<'a> = UserV1<'a>;

    fn view<'a>(user: &'a User, images: &Addresses) -> Option<UserV1<'a>> {
        Some(UserV1 {
            id: user.id.as_str(),
            name: user.name(),
            email: &user.email,
            avatar: user.avatar.as_deref().map(|key| images.original(key)),
            username: &user.username,
            phone_number: user.phone_number.as_deref(),
            date_of_birth: user.date_of_birth.as_deref(),
            address: user.address.as_ref(),
            preferences: &user.preferences,
            metadata: &user.metadata,
        })
    }
}

impl Shape<User, Addresses> for V2 {
    type View<'a> = UserV2<'a>;

    fn view<'a>(user: &'a User, images: &Addresses) -> Option<UserV2<'a>> {
        Some(UserV2 {
            id: user.id.as_str(),
            name: user.name(),
            email: &user.email,
            avatar: user.avatar.as_deref().map(|key| images.view(key, None)),
            version: user.version,
            username: &user.username,
            first_name: &user.first_name,
            last_name: &user.last_name,
            phone_number: user.phone_number.as_deref(),
            date_of_birth: user.date_of_birth.as_deref(),
            address: user.address.as_ref(),
            preferences: &user.preferences,
            metadata: &user.metadata,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared::slim::{Level, Selection, Slimmed};

    use super::*;

    /// The user that the project's predecessor shows as its verbose backend answer.
    const VERBOSE: &str = include_str!("../tests/verbose-user.json");

    fn images() -> Addresses {
        Addresses::unsigned("/images")
    }

    fn sizes(level: Level) -> (usize, usize, usize) {
        let verbose: Value = serde_json::from_str(VERBOSE).expect("JSON");
        let user: User = serde_json::from_value(verbose.clone()).expect("the stored record has this shape");
        let (images, selection) = (images(), Selection::at(level));
        let v1 = serde_json::to_string(&Slimmed::new(&V1::view(&user, &images), &selection)).expect("JSON");
        let v2 = serde_json::to_string(&Slimmed::new(&V2::view(&user, &images), &selection)).expect("JSON");
        (verbose.to_string().len(), v1.len(), v2.len())
    }

    #[test]
    fn the_verbose_user_shrinks_by_at_least_85_percent_at_detail() {
        let (before, v1, v2) = sizes(Level::Detail);
        for after in [v1, v2] {
            assert!(after * 100 <= before * 15, "{before} bytes became {after}");
        }
    }

    #[test]
    fn full_loses_nothing_that_the_owner_may_see() {
        let user: User = serde_json::from_str(VERBOSE).expect("JSON");
        let full = Selection::at(Level::Full);
        let shown = serde_json::to_value(Slimmed::new(&V2::view(&user, &images()), &full)).expect("JSON");
        let verbose: Value = serde_json::from_str(VERBOSE).expect("JSON");
        for (field, value) in verbose.as_object().expect("an object") {
            assert_eq!(&shown[field], value, "{field}");
        }
    }
}
