use std::fmt;
use std::str::FromStr;

use super::SelectionError;

/// How much of a view is sent. Each level includes the ones below it.
///
/// Text form: `minimal`, `detail` or `full`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What a list needs: names and pictures.
    Minimal,
    /// What a screen about one object needs.
    #[default]
    Detail,
    /// Everything that the caller may see.
    Full,
}

impl Level {
    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Detail => "detail",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = SelectionError;

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`SelectionError::UnknownLevel`] for any other text. Capital letters count as other text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "minimal" => Ok(Self::Minimal),
            "detail" => Ok(Self::Detail),
            "full" => Ok(Self::Full),
            _ => Err(SelectionError::UnknownLevel { level: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_both_ways() {
        for level in [Level::Minimal, Level::Detail, Level::Full] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
    }

    #[test]
    fn any_other_text_is_refused() {
        for text in ["", "Detail", "FULL", "all", "detail "] {
            assert_eq!(text.parse::<Level>(), Err(SelectionError::UnknownLevel { level: text.to_owned() }));
        }
    }

    #[test]
    fn levels_are_ordered_and_detail_is_the_default() {
        assert!(Level::Minimal < Level::Detail && Level::Detail < Level::Full);
        assert_eq!(Level::default(), Level::Detail);
    }
}
