use super::{Level, Selection};

/// Why a request's `level` or `fields` cannot be honoured. The text is meant for the client's developer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// The level is none of the three.
    #[error("unknown level \"{level}\": use minimal, detail or full")]
    UnknownLevel {
        /// The level as written.
        level: String,
    },

    /// The level, or a field without a level, is above what the caller may see.
    #[error("{}", above_ceiling(field.as_deref(), *level, *ceiling))]
    AboveCeiling {
        /// The field asked for, or nothing when a level was asked for.
        field: Option<String>,
        /// The level asked for, or the lowest level that has the field.
        level: Level,
        /// The highest level that the caller may see.
        ceiling: Level,
    },

    /// The field exists, but not at the level that was asked for along with it.
    #[error("the field \"{field}\" is not part of level={level}: ask for level={needed}, or leave the level out")]
    NotAtLevel {
        /// The field as written.
        field: String,
        /// The level asked for.
        level: Level,
        /// The lowest level that has the field.
        needed: Level,
    },

    /// There is no such field.
    #[error("unknown field \"{field}\"")]
    UnknownField {
        /// The field as written, with the names of its parents.
        field: String,
    },

    /// The list of fields, or one of its names, is empty.
    #[error("an empty name in fields: separate names by single commas, as in fields=id,name")]
    EmptyField,

    /// The list has too many names, or a name has too many parts.
    #[error("too many names in fields: at most {} are allowed", Selection::MAX_NAMES)]
    TooManyFields,
}

impl SelectionError {
    /// The query parameter at fault: `level` or `fields`.
    pub const fn parameter(&self) -> &'static str {
        match self {
            Self::UnknownLevel { .. } | Self::AboveCeiling { field: None, .. } => "level",
            Self::AboveCeiling { field: Some(_), .. }
            | Self::NotAtLevel { .. }
            | Self::UnknownField { .. }
            | Self::EmptyField
            | Self::TooManyFields => "fields",
        }
    }
}

fn above_ceiling(field: Option<&str>, level: Level, ceiling: Level) -> String {
    match field {
        None => format!("level={level} is not available here: the highest level is {ceiling}"),
        Some(field) => {
            format!("the field \"{field}\" needs level={level}, and the highest level available here is {ceiling}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_says_what_to_do_and_names_its_parameter() {
        let field = || "address.city".to_owned();
        for (error, parameter, text) in [
            (
                SelectionError::UnknownLevel { level: "all".to_owned() },
                "level",
                "unknown level \"all\": use minimal, detail or full",
            ),
            (
                SelectionError::AboveCeiling { field: None, level: Level::Full, ceiling: Level::Detail },
                "level",
                "level=full is not available here: the highest level is detail",
            ),
            (
                SelectionError::AboveCeiling { field: Some(field()), level: Level::Full, ceiling: Level::Detail },
                "fields",
                "the field \"address.city\" needs level=full, and the highest level available here is detail",
            ),
            (
                SelectionError::NotAtLevel { field: field(), level: Level::Minimal, needed: Level::Full },
                "fields",
                "the field \"address.city\" is not part of level=minimal: ask for level=full, or leave the level out",
            ),
            (SelectionError::UnknownField { field: field() }, "fields", "unknown field \"address.city\""),
            (
                SelectionError::EmptyField,
                "fields",
                "an empty name in fields: separate names by single commas, as in fields=id,name",
            ),
            (SelectionError::TooManyFields, "fields", "too many names in fields: at most 64 are allowed"),
        ] {
            assert_eq!((error.parameter(), error.to_string().as_str()), (parameter, text));
        }
    }
}
