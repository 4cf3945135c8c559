//! The controlling terminal of the host.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this host has a controlling terminal. ENXIO means that it has none; after any other error it
/// may have one.
///
/// Only a session leader can acquire a controlling terminal. If the host has none and leads no session,
/// the answer is cached until it leads one, because the check takes as long as the rest of the
/// preparations of a start. A forked copy of the host leads no session, and inherits its parent's
/// controlling terminal.
pub(crate) fn has_controlling_terminal() -> bool {
    static HAD_NONE: AtomicBool = AtomicBool::new(false);
    if HAD_NONE.load(Ordering::Relaxed) && !leads_session() {
        return false;
    }
    let answer = File::open("/dev/tty").map_err(|error| error.raw_os_error());
    let has_none = matches!(answer, Err(Some(libc::ENXIO)));
    if has_none && !leads_session() {
        // A session leader stays one, so the host led no session before either.
        HAD_NONE.store(true, Ordering::Relaxed);
    }
    !has_none
}

fn leads_session() -> bool {
    // SAFETY: both take numbers at most, and touch no memory.
    unsafe { libc::getsid(0) == libc::getpid() }
}
