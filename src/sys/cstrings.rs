//! Strings in the form in which `execve` takes arguments and environments: NUL-terminated, in one
//! allocation, with an array of pointers to them.

use std::ffi::c_char;
use std::marker::PhantomData;
use std::ptr;

/// A list of NUL-terminated strings, in two allocations.
#[derive(Debug, Default, Clone)]
pub(crate) struct CStrings {
    /// The strings, each followed by a NUL.
    bytes: Vec<u8>,
    /// The offset of each string.
    starts: Vec<usize>,
}

/// An array of pointers to strings, with a null pointer at its end (argv, envp).
#[derive(Debug)]
pub(super) struct CStringArray<'a>(Vec<*const c_char>, PhantomData<&'a CStrings>);

impl CStrings {
    /// Adds the concatenation of these parts. They contain no NUL: callers have refused those that do.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        self.starts.push(self.bytes.len());
        let length: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.reserve(length + 1);
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
    }

    /// The strings, without their NULs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied();
        let ends = ends.chain([self.bytes.len()]);
        self.starts
            .iter()
            .zip(ends)
            .map(|(start, end)| &self.bytes[*start..end - 1])
    }
}

impl<'a> CStringArray<'a> {
    /// The array of the strings of several lists. It is valid while the lists are neither changed nor
    /// dropped. Moving a list does not move its strings.
    pub(super) fn new(lists: &[&'a CStrings]) -> Self {
        let count: usize = lists.iter().map(|list| list.starts.len()).sum();
        let mut pointers = Vec::with_capacity(count + 1);
        for list in lists {
            let starts = list.starts.iter();
            pointers.extend(starts.map(|start| list.bytes[*start..].as_ptr().cast()));
        }
        pointers.push(ptr::null());
        CStringArray(pointers, PhantomData)
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
        let mut strings = CStrings::default();
        assert_eq!(strings.iter().count(), 0);
        strings.push(&[b"A", b"=", b"b"]);
        strings.push(&[]);
        strings.push(&[b"last"]);
        let all: Vec<_> = strings.iter().collect();
        assert_eq!(all, [b"A=b".as_slice(), b"", b"last"]);
        let pointers = CStringArray::new(&[&strings, &CStrings::default(), &strings]).0;
        assert_eq!(pointers.len(), 7);
        assert!(pointers[6].is_null());
        assert_eq!(pointers[..3], pointers[3..6]);
        // SAFETY: the list is not changed, and each pointer but the last is to a text of it, which ends
        // with a NUL.
        let text = |at: usize| unsafe { std::ffi::CStr::from_ptr(pointers[at]) };
        assert_eq!([text(0), text(1), text(2)], [c"A=b", c"", c"last"]);
    }
}
