//! Memory of the caller. This is the only place where it is read or written.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;

use super::error::CallError;
use super::types::*;

/// Copies a text of the caller.
///
/// # Safety
///
/// `text` is NULL or points to a text that ends with a NUL.
pub(super) unsafe fn text(text: *const c_char, what: &'static str) -> Result<OsString, CallError> {
    // SAFETY: the caller's promise. The text is copied before the call ends.
    unsafe { borrowed(text, what) }.map(|text| OsStr::from_bytes(text.to_bytes()).to_os_string())
}

/// A text of the caller, valid during the call.
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

/// The memory of the caller that a result is written to; NULL if the caller does not want it.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `place` is NULL or valid for writing a T until the call ends.
    pub(super) unsafe fn new(place: *mut T) -> Self {
        Out(place)
    }

    /// Refuses NULL.
    pub(super) fn wanted(self, what: &'static str) -> Result<Self, CallError> {
        if self.0.is_null() {
            Err(CallError::Argument(what))
        } else {
            Ok(self)
        }
    }

    pub(super) fn put(&self, value: T) {
        if !self.0.is_null() {
            // SAFETY: valid by the promise given to `new`. It need not be aligned or initialised.
            unsafe { self.0.write_unaligned(value) };
        }
    }
}

impl<T: Copy> Out<T> {
    /// The value that the caller has put there. `None` for NULL.
    pub(super) fn get(&self) -> Option<T> {
        // SAFETY: valid by the promise given to `new`, and the caller has initialised it.
        (!self.0.is_null()).then(|| unsafe { self.0.read_unaligned() })
    }
}

/// A struct of the caller, or an array of them, that begins with its size; NULL if the caller does not
/// want it.
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
    /// The size in the first version of this library. The caller's may not be smaller.
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
    /// `place` is NULL, or its first field is set and it is valid for writing that many bytes until the
    /// call ends.
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

    /// Writes the value. Keeps the caller's `struct_size`. If the caller's struct is larger, from a
    /// later version, the rest is not written.
    pub(super) fn put(&self, value: T) {
        self.put_at(0, value);
    }

    /// Writes an element of an array. All elements have the size of the first.
    ///
    /// The promise given to [`StructOut::new`] must hold for this element.
    pub(super) fn put_at(&self, index: usize, value: T) {
        if self.place.is_null() {
            return;
        }
        let skip = size_of::<usize>();
        let length = size_of::<T>().min(self.size) - skip;
        let from = (&raw const value).cast::<u8>();
        // SAFETY: the caller's element is valid for `size` bytes, of which `length` after the first
        // field are written; `value` is at least as long.
        unsafe {
            let to = self.place.add(index * self.size);
            to.cast::<usize>().write_unaligned(self.size);
            to.add(skip)
                .copy_from_nonoverlapping(from.add(skip), length);
        }
    }
}

/// Bytes of the caller to read. NULL with length 0 is an empty slice.
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

/// Memory of the caller to write bytes to. NULL with capacity 0 is an empty slice.
///
/// # Safety
///
/// `buffer` is NULL, or valid for writing `capacity` bytes and not used otherwise until the call ends.
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

/// Copies a text to the caller and reports its length. Adds a NUL if there is room for it.
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
