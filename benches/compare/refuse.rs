//! A seccomp filter that refuses `pidfd_open`, as those of some containers do.

#![allow(unsafe_code)]

use std::mem::offset_of;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// From now on `pidfd_open` fails with EPERM in this thread, in what it starts, and in their children.
///
/// To be called while the process has one thread.
pub(crate) fn refuse_pidfd_open() {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    let step = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let refusal = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut filter = [
        // The numbers are those of this architecture. A program of another one is not filtered.
        step(LOAD, 0, 0, offset_of!(libc::seccomp_data, arch) as u32),
        step(JUMP_IF_EQUAL, 0, 3, ARCHITECTURE),
        step(LOAD, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
        step(JUMP_IF_EQUAL, 0, 1, libc::SYS_pidfd_open as u32),
        step(RETURN, 0, 0, refusal),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter are valid during the calls, which copy them; the others take numbers.
    unsafe {
        // A user without rights needs this for a filter.
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let set = libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        );
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
        assert_eq!(libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0), -1);
    }
}
