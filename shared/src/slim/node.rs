use super::field::{MAX_FIELDS, same_fields};
use super::{Field, Level};

/// The fields picked from one object, as bits by their place in the type's list.
#[derive(Clone, Debug)]
pub(super) struct Node {
    fields: &'static [Field],
    picked: u64,
    /// Those of the picked fields from which only a part is sent. The others are sent whole.
    narrowed: u64,
    /// One for each bit of `narrowed`, in the order of the bits.
    children: Vec<Node>,
}

impl Node {
    pub(super) fn empty(fields: &'static [Field]) -> Self {
        debug_assert!(fields.len() <= MAX_FIELDS, "checked where the list comes from");
        Self { fields, picked: 0, narrowed: 0, children: Vec::new() }
    }

    pub(super) fn fields(&self) -> &'static [Field] {
        self.fields
    }

    pub(super) fn picks(&self, index: usize) -> bool {
        self.picked & bit(index) != 0
    }

    /// The part of a field that is sent, unless the field is sent whole.
    pub(super) fn child(&self, index: usize) -> Option<&Node> {
        (self.narrowed & bit(index) != 0).then(|| &self.children[self.place(index)])
    }

    /// Where the child of a field is, or would have to be inserted.
    fn place(&self, index: usize) -> usize {
        (self.narrowed & (bit(index) - 1)).count_ones() as usize
    }

    /// Adds a field with everything inside, by the places of its names from the outermost to the innermost.
    pub(super) fn pick(&mut self, path: &[usize]) {
        let Some((&index, inner)) = path.split_first() else {
            return;
        };
        if self.picks(index) && self.narrowed & bit(index) == 0 {
            return;
        }
        self.picked |= bit(index);
        if inner.is_empty() {
            self.widen(index);
            return;
        }
        let place = self.place(index);
        if self.narrowed & bit(index) == 0 {
            let Some(fields) = self.fields[index].fields() else {
                return;
            };
            self.children.insert(place, Node::empty(fields));
            self.narrowed |= bit(index);
        }
        self.children[place].pick(inner);
    }

    /// Sends a picked field whole.
    fn widen(&mut self, index: usize) {
        if self.narrowed & bit(index) != 0 {
            self.children.remove(self.place(index));
            self.narrowed &= !bit(index);
        }
    }

    /// The highest level of any field that is sent when whole objects are sent at `level`.
    pub(super) fn highest(&self, level: Level) -> Level {
        let mut highest = Level::Minimal;
        for (index, field) in self.picks_with_fields() {
            highest = highest.max(field.level());
            if let Some(child) = self.child(index) {
                highest = highest.max(child.highest(level));
            } else if let Some(fields) = field.fields() {
                raise_to_highest(fields, level, &mut highest, &mut Vec::new());
            }
        }
        highest
    }

    /// Replaces each part that has all fields of `level` by the whole. Returns whether this node is such a part.
    pub(super) fn collapse(&mut self, level: Level) -> bool {
        for index in 0..self.fields.len() {
            if self.narrowed & bit(index) != 0 {
                let place = self.place(index);
                if self.children[place].collapse(level) {
                    self.widen(index);
                }
            }
        }
        let whole = self.fields.iter().enumerate().filter(|(_, field)| field.level() <= level);
        self.narrowed == 0 && self.picked == whole.fold(0, |mask, (index, _)| mask | bit(index))
    }

    /// Collects the dotted names of all that is picked.
    pub(super) fn names(&self, prefix: &str, names: &mut Vec<String>) {
        for (index, field) in self.picks_with_fields() {
            let name = format!("{prefix}{}", field.name());
            match self.child(index) {
                Some(child) => child.names(&(name + "."), names),
                None => names.push(name),
            }
        }
    }

    fn picks_with_fields(&self) -> impl Iterator<Item = (usize, &'static Field)> {
        self.fields.iter().enumerate().filter(|(index, _)| self.picks(*index))
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.picked == other.picked
            && self.narrowed == other.narrowed
            && same_fields(self.fields, other.fields)
            && self.children == other.children
    }
}

impl Eq for Node {}

const fn bit(index: usize) -> u64 {
    1 << index
}

/// Raises `highest` to the highest level, up to `level`, of the fields in a whole object and of all that is inside.
fn raise_to_highest(fields: &'static [Field], level: Level, highest: &mut Level, seen: &mut Vec<*const [Field]>) {
    // A type can contain itself.
    if seen.iter().any(|&other| std::ptr::eq(other, fields)) {
        return;
    }
    seen.push(fields);
    for field in fields.iter().filter(|field| field.level() <= level) {
        if *highest >= level {
            return;
        }
        *highest = field.level().max(*highest);
        if let Some(inner) = field.fields() {
            raise_to_highest(inner, level, highest, seen);
        }
    }
}
