//! Makes any sequence of calls of the C interface, with any arguments that a C program may pass. No call may crash, hang or
//! return MGR_ERR_PANIC, and a manager that is open all the time must still work at the end.

#![no_main]

use std::ffi::{CString, c_char, c_void};
use std::ptr;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use procmgr::ffi::*;

/// Takes numbers and texts from the input.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> i64 {
        match self.byte() {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => -1,
            3 => i64::from(i32::MAX),
            small => i64::from(small) - 4,
        }
    }

    /// Short: the fuzzer waits for the timeout.
    fn timeout(&mut self) -> i64 {
        i64::from(self.byte() % 3)
    }

    fn text(&mut self) -> Option<CString> {
        let length = usize::from(self.byte() % 40);
        if length == 39 {
            return None;
        }
        let bytes: Vec<u8> = (0..length).map(|_| self.byte().max(1)).collect();
        CString::new(bytes).ok()
    }
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

/// The manager that is open all the time.
static MANAGER: LazyLock<mgr_t> = LazyLock::new(|| {
    let mut manager = 0;
    // SAFETY: the pointer is valid.
    assert_eq!(unsafe { mgr_open(0, &mut manager) }, MGR_OK);
    manager
});

/// Commands that end at once. Commands of the fuzzer's own making are not run.
const COMMANDS: [&std::ffi::CStr; 4] = [c":", c"echo hello", c"exit 3", c"kill -9 $$"];

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let mut handles: Vec<u64> = vec![0, u64::MAX, *MANAGER];
    let mut id = mgr_id { text: [0; 37] };
    for _ in 0..24 {
        if input.0.is_empty() {
            break;
        }
        let code = call(&mut input, &mut handles, &mut id);
        assert_ne!(code, MGR_ERR_PANIC);
        assert!((MGR_ERR_PANIC..=MGR_ENDED).contains(&code), "{code}");
    }
    for handle in handles.drain(3..) {
        // The handle is of one of these kinds, or is released already.
        mgr_release(handle);
        mgr_config_free(handle);
        mgr_request_free(handle);
        mgr_events_release(handle);
    }
    assert_eq!(
        unsafe { mgr_list(*MANAGER, ptr::null_mut(), 0, ptr::null_mut()) },
        MGR_OK
    );
});

fn call(input: &mut Input<'_>, handles: &mut Vec<u64>, id: &mut mgr_id) -> i32 {
    let pick = |input: &mut Input<'_>| handles[usize::from(input.byte()) % handles.len()];
    let (one, other) = (pick(input), pick(input));
    let choice = input.byte() % 40;
    let text = input.text();
    let (number, timeout) = (input.number(), input.timeout());
    let size = usize::from(input.byte());
    let mut buffer = vec![0u8; size];
    let buffer_pointer: *mut c_void = match size {
        0 => ptr::null_mut(),
        _ => buffer.as_mut_ptr().cast(),
    };
    let (mut made, mut length, mut cursor, mut lost) = (0u64, 0usize, number as u64, 0u64);
    let mut descriptor = 0;
    let id_text: *const c_char = match input.byte() % 4 {
        0 => pointer(&text),
        _ => id.text.as_ptr(),
    };
    // SAFETY: zeroes are valid values of these structs of integers.
    let (mut process, mut truncation, mut event, mut error): (
        mgr_process,
        mgr_truncation,
        mgr_event,
        mgr_error,
    ) = unsafe {
        (
            std::mem::zeroed(),
            std::mem::zeroed(),
            std::mem::zeroed(),
            std::mem::zeroed(),
        )
    };
    if input.byte() % 8 != 0 {
        process.struct_size = size_of::<mgr_process>();
        truncation.struct_size = size_of::<mgr_truncation>();
        event.struct_size = size_of::<mgr_event>();
        error.struct_size = size_of::<mgr_error>();
    }
    let key: *const c_void = buffer_pointer;
    // SAFETY: every pointer is null or points to memory of this function of the given size, texts end with a NUL, and
    // no struct_size is larger than the struct.
    let code = unsafe {
        match choice {
            0 => mgr_open(one, &mut made),
            1 => mgr_scope(one, pointer(&text), &mut made),
            2 => mgr_config_new(&mut made),
            3 => mgr_config_head_bytes(one, number as usize),
            4 => mgr_config_tail_bytes(one, number as usize),
            5 => mgr_config_max_line_bytes(one, number as usize),
            6 => mgr_config_max_ended(one, number as usize),
            7 => mgr_config_keep_ended_ms(one, number),
            8 => mgr_config_variable(one, pointer(&text), pointer(&text)),
            9 => mgr_config_owner_variable(one, pointer(&text)),
            10 | 11 => mgr_request_new(COMMANDS[size % COMMANDS.len()].as_ptr(), &mut made),
            12 => mgr_request_argument(one, pointer(&text)),
            13 => mgr_request_variable(one, pointer(&text), pointer(&text)),
            14 => mgr_request_directory(one, pointer(&text)),
            15 => mgr_request_owner(one, pointer(&text)),
            16 => mgr_request_key(one, key, size),
            17 => mgr_request_id(one, id_text),
            18 => mgr_request_time_limit_ms(one, number),
            19 => mgr_request_lossless(one, number as i32),
            20 => mgr_request_separate_streams(one, number as i32),
            21..=23 => mgr_start(one, other, id, &mut error),
            24 => mgr_read(
                one,
                id_text,
                number as i32,
                &mut cursor,
                buffer_pointer,
                size,
                &mut length,
                &mut lost,
                timeout,
            ),
            25 => mgr_output(
                one,
                id_text,
                number as i32,
                buffer_pointer.cast(),
                size,
                &mut length,
                &mut truncation,
            ),
            26 => mgr_wait(one, id_text, timeout, &mut process),
            27 => mgr_inspect(one, id_text, &mut process),
            28 => mgr_list(one, &mut process, 1, &mut length),
            29 => mgr_signal(one, id_text, number as i32),
            30 => mgr_stop(one, id_text, timeout, &mut process),
            31 => mgr_cancel(one, key, size, timeout, &mut process),
            32 => mgr_find(one, key, size, ptr::null_mut()),
            33 => mgr_forget(one, id_text),
            34 => mgr_forget_key(one, key, size),
            35 => mgr_command(one, id_text, buffer_pointer.cast(), size, &mut length),
            36 => mgr_events_open(one, &mut made),
            37 => mgr_events_next(one, timeout, &mut event),
            38 => mgr_events_descriptor(one, &mut descriptor),
            _ => mgr_events_watch(one, other, id_text, number as i32, cursor),
        }
    };
    assert!(length <= size || code == MGR_ERR_BUFFER || matches!(choice, 28));
    if code == MGR_OK && made != 0 {
        handles.push(made);
    }
    code
}
