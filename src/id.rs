//! The id of a process.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The id of a process: a UUID, written as 36 characters (`67e55044-10b1-426f-9247-bb680e5fe0c8`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Uuid);

/// The error of parsing an [`Id`]: the text is not a UUID in its form with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError;

impl Id {
    /// The length of an id in text form, in bytes.
    pub const TEXT_LENGTH: usize = 36;

    /// A new random id (UUID version 4).
    pub(crate) fn random() -> Self {
        Id(Uuid::new_v4())
    }
}

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        // Uuid also accepts braces, a URN prefix and a text without hyphens. An id has only one text.
        if text.len() != Id::TEXT_LENGTH {
            return Err(ParseIdError);
        }
        text.parse().map(Id).map_err(|_| ParseIdError)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID of 36 characters")
    }
}

impl std::error::Error for ParseIdError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let id = Id::random();
        assert_eq!(id.to_string().len(), Id::TEXT_LENGTH);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for bad in ["", "x", &id.to_string()[1..], &format!("{{{id}}}")] {
            assert_eq!(bad.parse::<Id>(), Err(ParseIdError), "{bad}");
        }
    }
}
