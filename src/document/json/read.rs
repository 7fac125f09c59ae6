//! Reads JSON in one pass, checks the general rules, and passes the values on to the checks.

use std::borrow::Cow;
use std::collections::HashSet;

use super::super::error::{DocumentError, Reason};
use super::super::place::Place;
use super::check::Check;
use super::outline::{Data, Role, Value};
use super::scan::{Failure, Scanner, Token};
use super::syntax;

/// Reads `text`, whose root has this role, and returns its root. Nodes, edges and tags are passed to `check`.
///
/// # Errors
///
/// `Syntax` or `TooDeep`. Duplicate keys are defects in `check`.
pub(super) fn read<'de>(
    text: &'de str,
    role: Role,
    max_depth: usize,
    check: &mut Check<'de>,
) -> Result<Value<'de>, DocumentError> {
    let mut pass = Pass { scanner: Scanner::new(text), check, max_depth, values: 0 };
    let root = pass.value(&Place::Root, role, 1);
    match root.and_then(|root| pass.scanner.end().map(|()| root).map_err(Stop::from)) {
        Ok(root) => Ok(root),
        Err(Stop::TooDeep { place }) => Err(DocumentError::TooDeep { place, limit: max_depth }),
        Err(Stop::Syntax(failure)) => Err(syntax::explain(text, failure)),
    }
}

/// Why reading stopped.
enum Stop {
    Syntax(Failure),
    TooDeep { place: String },
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Syntax(failure)
    }
}

/// The state shared by the readers of all values.
struct Pass<'c, 'de> {
    scanner: Scanner<'de>,
    check: &'c mut Check<'de>,
    max_depth: usize,
    /// The number of values that have begun so far.
    values: u64,
}

impl<'de> Pass<'_, 'de> {
    /// Reads one value with everything inside it. `depth` is its level if it is an array or object.
    fn value(&mut self, place: &Place<'_>, role: Role, depth: usize) -> Result<Value<'de>, Stop> {
        self.values += 1;
        let ordinal = self.values;
        let data = match self.scanner.value()? {
            Token::Null => Data::Null,
            Token::Bool => Data::Bool,
            Token::Number(number) => Data::Number(number),
            Token::String(_) if role == Role::Other => Data::Text(Cow::Borrowed("")),
            Token::String(written) => Data::Text(written.text()),
            Token::Array | Token::Object if depth > self.max_depth => {
                return Err(Stop::TooDeep { place: place.to_string() });
            }
            Token::Array => self.elements(place, role, depth)?,
            Token::Object => self.members(place, role, depth)?,
        };
        Ok(Value { ordinal, data })
    }

    /// Reads the elements of an array, after its opening bracket.
    fn elements(&mut self, place: &Place<'_>, role: Role, depth: usize) -> Result<Data<'de>, Stop> {
        let role = role.of_element();
        let mut index = 0;
        while self.scanner.next_element(index == 0, b']')? {
            let value = self.value(&place.index(index), role, depth + 1)?;
            self.check.element(role, index, &value);
            index += 1;
        }
        Ok(Data::Array)
    }

    /// Reads the members of an object, after its opening brace.
    fn members(&mut self, place: &Place<'_>, role: Role, depth: usize) -> Result<Data<'de>, Stop> {
        let mut seen = HashSet::new();
        let mut kept = Vec::new();
        let mut is_first = true;
        while self.scanner.next_element(is_first, b'}')? {
            is_first = false;
            let key = self.scanner.key()?.text();
            let place = place.key(&key);
            let fresh = seen.insert(key.clone());
            if !fresh {
                // The ordinal that the value will get.
                self.check.defects.report(self.values + 1, &place, Reason::DuplicateKey);
            }
            // A repeated value is not evaluated, only checked for the general rules.
            let role = if fresh { role.of_field(&key) } else { Role::Other };
            let value = self.value(&place, role, depth + 1)?;
            if role != Role::Other {
                kept.push((key, value));
            }
        }
        Ok(Data::Object(kept))
    }
}
