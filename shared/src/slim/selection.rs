use super::field::fields_of;
use super::node::Node;
use super::{Field, Level, Selected, SelectionError, Slim};

/// Which fields of a type are sent.
///
/// The default is level detail.
///
/// # Equality
///
/// Selections parsed from lists of fields, for the same type, are equal exactly when they send the same fields. So none
/// of these matters: the order of the names, repetition, an object named along with one of its parts, an object named
/// part by part, and a level that changes nothing. A list that names exactly what a level sends equals that level.
///
/// A level without a list stays that level, even for a type that has no field there: it applies to any type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    level: Level,
    /// Nothing when all fields of the level are sent.
    picks: Option<Node>,
}

impl Selection {
    /// The most names in a list of fields, and the most parts in one name.
    pub const MAX_NAMES: usize = 64;

    /// All fields of a level, for any type.
    pub const fn at(level: Level) -> Self {
        Self { level, picks: None }
    }

    /// Reads what a request asks for. `ceiling` is the highest level that the caller may see.
    ///
    /// | `level` | `fields` | sent |
    /// | --- | --- | --- |
    /// | no | no | detail, or the ceiling if that is lower |
    /// | yes | no | that level |
    /// | no | yes | the named fields |
    /// | yes | yes | the named fields, which must belong to that level |
    ///
    /// Names are separated by commas, and the name of a field inside another one is joined to it by a dot. Naming an
    /// object selects all of it, up to the level if there is one, else up to the ceiling.
    ///
    /// # Errors
    ///
    /// - [`AboveCeiling`](SelectionError::AboveCeiling): the level, or a field named without a level, is above the
    ///   ceiling.
    /// - [`NotAtLevel`](SelectionError::NotAtLevel): a named field is above the level.
    /// - [`UnknownField`](SelectionError::UnknownField): the type has no such field.
    /// - [`EmptyField`](SelectionError::EmptyField): the list, or a name or a part of one, is empty.
    /// - [`TooManyFields`](SelectionError::TooManyFields): there are more than [`MAX_NAMES`](Self::MAX_NAMES) names,
    ///   repetitions included, or more than as many parts in one name.
    pub fn parse<T: Slim + ?Sized>(
        level: Option<Level>,
        fields: Option<&str>,
        ceiling: Level,
    ) -> Result<Self, SelectionError> {
        if let Some(level) = level.filter(|&level| level > ceiling) {
            return Err(SelectionError::AboveCeiling { field: None, level, ceiling });
        }
        let Some(list) = fields else {
            return Ok(Self::at(level.unwrap_or_else(|| Level::default().min(ceiling))));
        };
        if list.split(',').nth(Self::MAX_NAMES).is_some() {
            return Err(SelectionError::TooManyFields);
        }
        let mut picks = Node::empty(fields_of::<T>());
        for name in list.split(',') {
            let (path, needed) = resolve(picks.fields(), name)?;
            match level {
                Some(level) if needed > level => {
                    return Err(SelectionError::NotAtLevel { field: name.to_owned(), level, needed });
                }
                None if needed > ceiling => {
                    return Err(SelectionError::AboveCeiling { field: Some(name.to_owned()), level: needed, ceiling });
                }
                _ => picks.pick(&path),
            }
        }
        Ok(Self::normal(level.unwrap_or(ceiling), picks))
    }

    /// The one form that all spellings of the same fields share.
    fn normal(level: Level, mut picks: Node) -> Self {
        // The lowest level that still sends the same comes first: whether a part is the whole depends on the level.
        let level = picks.highest(level);
        let whole = picks.collapse(level);
        Self { level, picks: (!whole).then_some(picks) }
    }

    /// The lowest level that has all selected fields, or the level itself if it was selected without a list of fields.
    pub const fn level(&self) -> Level {
        self.level
    }

    /// A text for cache keys and hashes, such as `detail` or `full:address.city,id,name`.
    ///
    /// Equal selections have equal texts and, for one type, unequal ones have unequal texts. The names are sorted, so
    /// the text does not depend on the order in which the type declares its fields. It does not name the type.
    pub fn canonical(&self) -> String {
        let Some(picks) = &self.picks else {
            return self.level.to_string();
        };
        let mut names = Vec::new();
        picks.names("", &mut names);
        names.sort_unstable();
        format!("{}:{}", self.level, names.join(","))
    }

    pub(super) const fn selected(&self) -> Selected<'_> {
        Selected::new(self.level, self.picks.as_ref())
    }
}

/// Finds a dotted name: the place of each of its parts, and the lowest level that has it.
fn resolve(fields: &'static [Field], name: &str) -> Result<(Vec<usize>, Level), SelectionError> {
    if name.split('.').any(str::is_empty) {
        return Err(SelectionError::EmptyField);
    }
    if name.split('.').nth(Selection::MAX_NAMES).is_some() {
        return Err(SelectionError::TooManyFields);
    }
    let unknown = || SelectionError::UnknownField { field: name.to_owned() };
    let mut path = Vec::new();
    let mut needed = Level::Minimal;
    let mut inner = Some(fields);
    for part in name.split('.') {
        let fields = inner.ok_or_else(unknown)?;
        let index = fields.iter().position(|field| field.name() == part).ok_or_else(unknown)?;
        path.push(index);
        needed = needed.max(fields[index].level());
        inner = fields[index].fields();
    }
    Ok((path, needed))
}
