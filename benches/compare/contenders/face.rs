//! procmgr through C: the calls that a C program makes.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr;

use procmgr::ffi::*;

use super::Contender;
use crate::protocol::BUFFER_BYTES;

pub(crate) struct ThroughC(mgr_t);

impl ThroughC {
    pub(crate) fn new() -> Self {
        let mut manager = 0;
        // SAFETY: the pointer is to a variable of the right type; 0 is no configuration.
        assert_eq!(unsafe { mgr_open(0, &mut manager) }, MGR_OK);
        ThroughC(manager)
    }
}

impl Contender for ThroughC {
    type Child = (mgr_id, u64);

    fn start(&self, command: &str) -> Self::Child {
        let command = CString::new(command).expect("no NUL");
        let mut request = 0;
        let mut id = mgr_id { text: [0; 37] };
        // SAFETY: all pointers are to variables of the right types, and the text ends with a NUL; no error is wanted.
        unsafe {
            assert_eq!(mgr_request_new(command.as_ptr(), &mut request), MGR_OK);
            let started = mgr_start(self.0, request, &mut id, ptr::null_mut());
            assert_eq!(started, MGR_OK);
        }
        assert_eq!(mgr_request_free(request), MGR_OK);
        (id, 0)
    }

    fn finish(&self, (id, _): Self::Child) {
        let process = wait(self.0, &id);
        assert_eq!((process.state, process.exit_code), (MGR_EXITED, 0));
    }

    fn read(&self, (id, cursor): &mut Self::Child, buffer: &mut [u8]) -> usize {
        read(self.0, id, 0, cursor, buffer)
    }

    fn follow(&self, (id, cursor): &mut Self::Child) {
        let mut buffer = [0; BUFFER_BYTES];
        while read(self.0, id, MGR_READ_UNTIL_END, cursor, &mut buffer) > 0 {}
    }

    fn wait(&self, (id, _): &mut Self::Child) {
        wait(self.0, id);
    }

    fn snapshot(&self, (id, _): &Self::Child) -> usize {
        // A new buffer each time, as in a host that passes the text on.
        let mut text = Vec::<u8>::with_capacity(40 << 10);
        let mut length = 0;
        // SAFETY: the buffer is writable for the capacity; the length is a variable of the right type; the id ends with
        // a NUL; no truncation is wanted.
        let code = unsafe {
            mgr_output(
                self.0,
                id.text.as_ptr(),
                MGR_STDOUT,
                text.as_mut_ptr().cast(),
                text.capacity(),
                &mut length,
                ptr::null_mut(),
            )
        };
        assert_eq!(code, MGR_OK);
        length
    }
}

/// Reads at the cursor and moves it; 0 is the end.
fn read(manager: mgr_t, id: &mgr_id, flags: i32, cursor: &mut u64, buffer: &mut [u8]) -> usize {
    let mut length = 0;
    // SAFETY: all pointers are to variables of the right types, the buffer has its length, the id ends with a NUL; the
    // number of lost bytes is not wanted.
    let code = unsafe {
        mgr_read(
            manager,
            id.text.as_ptr(),
            MGR_STDOUT | flags,
            cursor,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            &mut length,
            ptr::null_mut(),
            -1,
        )
    };
    assert!(matches!((code, length), (MGR_OK, 1..) | (MGR_EOF, 0)));
    length
}

fn wait(manager: mgr_t, id: &mgr_id) -> mgr_process {
    let mut process = MaybeUninit::<mgr_process>::zeroed();
    // SAFETY: zeroes are a valid mgr_process, whose size is then set; the id ends with a NUL.
    unsafe {
        (*process.as_mut_ptr()).struct_size = size_of::<mgr_process>();
        let code = mgr_wait(manager, id.text.as_ptr(), -1, process.as_mut_ptr());
        assert_eq!(code, MGR_OK);
        process.assume_init()
    }
}
