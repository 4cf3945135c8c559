//! Memory of the caller. This is the only place where it is read or written.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;

use super::error::CallError;
use super::types::*;

/// A text of the caller.
///
/// # Safety
///
/// `text` is NULL or points to a text that ends with a NUL.
pub(super) unsafe fn text(text: *const c_char, what: &'static str) -> Result<OsString, CallError> {
    // SAFETY: passed on; it is copied before the call ends.
    unsafe { borrowed(text, what) }.map(|text| OsStr::from_bytes(text.to_bytes()).to_os_string())
}

/// A text of the caller that is not kept.
///
/// # Safety
///
/// As for [`text`], for as long as the result is used.
pub(super) unsafe fn borrowed<'a>(
    text: *const c_char,
    what: &'static str,
) -> Result<&'a CStr, CallError> {
    if text.is_null() {
        return Err(CallError::Argument(what));
    }
    // SAFETY: the caller promises a NUL-terminated text.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// The memory of the caller that a result goes to; NULL where it is not wanted.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `place` is NULL or valid for writing a T until the call ends.
    pub(super) unsafe fn new(place: *mut T) -> Self {
        Out(place)
    }

    /// Refuses NULL, for a result without which the call would be without sense.
    pub(super) fn wanted(self, what: &'static str) -> Result<Self, CallError> {
        if self.0.is_null() {
            Err(CallError::Argument(what))
        } else {
            Ok(self)
        }
    }

    pub(super) fn put(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: who made this promised that the place is valid. It need not be aligned, nor initialised.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

impl<T: Copy> Out<T> {
    /// What stands there, of a place that is read and written.
    pub(super) fn get(&self) -> Option<T> {
        // SAFETY: who made this promised that the place is valid, and one that is read was written by the caller.
        (!self.0.is_null()).then(|| unsafe { self.0.read_unaligned() })
    }
}

/// A struct of the caller that begins with its size.
pub(super) struct StructOut<T> {
    place: *mut u8,
    size: usize,
    kind: std::marker::PhantomData<T>,
}

/// A struct that begins with its `struct_size`, a usize, and is plain old data without pointers.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is that usize, and any bytes are a valid value of it.
pub(super) unsafe trait HasSize: Copy {
    /// The size in the first version of this library: a caller's may not be smaller.
    const FIRST: usize;
}

// SAFETY: it is repr(C), begins with struct_size, and holds integers only.
unsafe impl HasSize for mgr_process {
    const FIRST: usize = size_of::<mgr_process>();
}
// SAFETY: as above.
unsafe impl HasSize for mgr_truncation {
    const FIRST: usize = size_of::<mgr_truncation>();
}
// SAFETY: as above.
unsafe impl HasSize for mgr_error {
    const FIRST: usize = size_of::<mgr_error>();
}
// SAFETY: as above.
unsafe impl HasSize for mgr_event {
    const FIRST: usize = size_of::<mgr_event>();
}

impl<T: HasSize> StructOut<T> {
    /// # Safety
    ///
    /// `place` is NULL, or its first field is set and it is valid for writing that many bytes until the call ends.
    pub(super) unsafe fn new(place: *mut T) -> Result<Self, CallError> {
        let size = match place.is_null() {
            true => T::FIRST,
            // SAFETY: the first field is a usize by `HasSize`, and set by the caller.
            false => unsafe { place.cast::<usize>().read_unaligned() },
        };
        if size < T::FIRST {
            return Err(CallError::Argument("struct_size is too small, or not set"));
        }
        Ok(StructOut {
            place: place.cast(),
            size,
            kind: std::marker::PhantomData,
        })
    }

    pub(super) fn wanted(self, what: &'static str) -> Result<Self, CallError> {
        if self.place.is_null() {
            Err(CallError::Argument(what))
        } else {
            Ok(self)
        }
    }

    /// Writes the value, except for the size, which stays the caller's. Of a struct of a later version, which is larger,
    /// only what this version knows is written.
    pub(super) fn put(&self, value: T) {
        self.put_at(0, value);
    }

    /// Writes the value of an array's element; the array's elements all have the size of the first.
    ///
    /// The caller of [`StructOut::new`] answers for as many elements as it says.
    pub(super) fn put_at(&self, index: usize, value: T) {
        if self.place.is_null() {
            return;
        }
        let skip = size_of::<usize>();
        let length = size_of::<T>().min(self.size) - skip;
        let from = (&raw const value).cast::<u8>();
        // SAFETY: the caller's element is valid for `size` bytes, of which `length` after the first field are written;
        // `value` is at least as long.
        unsafe {
            let to = self.place.add(index * self.size);
            to.cast::<usize>().write_unaligned(self.size);
            to.add(skip)
                .copy_from_nonoverlapping(from.add(skip), length);
        }
    }
}

/// Bytes of the caller, to be read. NULL with length 0 is an empty slice.
///
/// # Safety
///
/// `data` is valid for reading `length` bytes until the call ends, or NULL.
pub(super) unsafe fn bytes<'a>(data: *const u8, length: usize) -> Result<&'a [u8], CallError> {
    match (data.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(CallError::Argument(
            "the data is NULL and its length is not 0",
        )),
        (_, length) if length > isize::MAX as usize => {
            Err(CallError::Argument("the length is larger than any memory"))
        }
        // SAFETY: it is not NULL, the length fits, and the caller promises that it is valid.
        _ => Ok(unsafe { std::slice::from_raw_parts(data, length) }),
    }
}

/// Memory of the caller for bytes that are written. NULL with capacity 0 is an empty one.
///
/// # Safety
///
/// `buffer` is valid for writing `capacity` bytes until the call ends, and nobody else uses it until then, or it is NULL.
pub(super) unsafe fn buffer_of<'a>(
    buffer: *mut u8,
    capacity: usize,
) -> Result<&'a mut [u8], CallError> {
    match (buffer.is_null(), capacity) {
        (_, 0) => Ok(&mut []),
        (true, _) => Err(CallError::Argument(
            "the buffer is NULL and its capacity is not 0",
        )),
        (_, capacity) if capacity > isize::MAX as usize => Err(CallError::Argument(
            "the capacity is larger than any memory",
        )),
        // SAFETY: it is not NULL, the capacity fits, and the caller promises that it is valid and its own.
        _ => Ok(unsafe { std::slice::from_raw_parts_mut(buffer, capacity) }),
    }
}

/// Copies a text to the caller and reports its length. A NUL is added where there is room for it.
pub(super) fn put_text(
    text: &[u8],
    buffer: &mut [u8],
    length: &Out<usize>,
) -> Result<(), CallError> {
    length.put(text.len());
    if text.len() > buffer.len() {
        return Err(CallError::Buffer);
    }
    buffer[..text.len()].copy_from_slice(text);
    if let Some(place) = buffer.get_mut(text.len()) {
        *place = 0;
    }
    Ok(())
}
