//! Texts in the form in which the kernel takes arguments and environments: each ends with a NUL, all of them lie in one
//! piece of memory, and an array points to them.

use std::ffi::c_char;
use std::marker::PhantomData;
use std::ptr;

/// A list of texts. However many there are, they take two allocations.
#[derive(Debug, Default, Clone)]
pub(crate) struct Texts {
    /// The texts, a NUL behind each.
    bytes: Vec<u8>,
    /// Where each of them begins.
    starts: Vec<usize>,
}

/// An array of pointers to texts, with a null pointer at its end.
#[derive(Debug)]
pub(super) struct Pointers<'a>(Vec<*const c_char>, PhantomData<&'a Texts>);

impl Texts {
    /// Adds a text that is put together from these parts. For the kernel it ends at its first NUL, so callers have
    /// refused one that has any.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        self.starts.push(self.bytes.len());
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.reserve(length + 1);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
    }

    /// The texts, without their NULs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied();
        let ends = ends.chain([self.bytes.len()]);
        self.starts
            .iter()
            .zip(ends)
            .map(|(start, end)| &self.bytes[*start..end - 1])
    }
}

impl<'a> Pointers<'a> {
    /// The array that the kernel takes, of the texts of several lists. It is good for as long as the lists are neither
    /// changed nor dropped; moving a list moves no text.
    pub(super) fn new(lists: &[&'a Texts]) -> Self {
        let count: usize = lists.iter().map(|list| list.starts.len()).sum();
        let mut pointers = Vec::with_capacity(count + 1);
        for list in lists {
            let starts = list.starts.iter();
            pointers.extend(starts.map(|start| list.bytes[*start..].as_ptr().cast()));
        }
        pointers.push(ptr::null());
        Pointers(pointers, PhantomData)
    }

    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.0.as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_there() {
        let mut texts = Texts::default();
        assert_eq!(texts.iter().count(), 0);
        texts.push(&[b"A", b"=", b"b"]);
        texts.push(&[]);
        texts.push(&[b"last"]);
        let all: Vec<_> = texts.iter().collect();
        assert_eq!(all, [b"A=b".as_slice(), b"", b"last"]);
        let pointers = Pointers::new(&[&texts, &Texts::default(), &texts]).0;
        assert_eq!(pointers.len(), 7);
        assert!(pointers[6].is_null());
        assert_eq!(pointers[..3], pointers[3..6]);
        // SAFETY: the list is not changed, and each pointer but the last is to a text of it, which ends with a NUL.
        let text = |at: usize| unsafe { std::ffi::CStr::from_ptr(pointers[at]) };
        assert_eq!([text(0), text(1), text(2)], [c"A=b", c"", c"last"]);
    }
}
