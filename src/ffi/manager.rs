//! Managers and scopes.

use std::ffi::{c_char, c_void};

use crate::{Canceled, Config, Process, Request};

use super::convert::{self, Out, Sized, bytes, id, status, text, timeout};
use super::handles::{self, Object};
use super::outcome::{MGR_ATTACHED, MGR_OK, MGR_TIMEOUT, call, call_described};
use super::types::*;

/// Opens a manager: a registry of processes, with threads of its own.
///
/// config: options, or 0 for all defaults.
/// manager: receives the handle; give it back with mgr_release.
///
/// MGR_OK; MGR_ERR_INVALID if manager is NULL or an option is out of range; MGR_ERR_HANDLE if these are no options;
/// MGR_ERR_IO if there is no thread or no descriptor to be had (it holds two until it is closed). Does not block.
///
/// # Safety
///
/// `manager` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_open(config: mgr_config_t, manager: *mut mgr_t) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let manager = unsafe { Out::new(manager) }.wanted("manager is NULL")?;
        let config = match config {
            0 => Config::new(),
            config => handles::config(config)?.lock().clone(),
        };
        manager.put(handles::add(Object::Manager(crate::Manager::open(config)?)));
        Ok(MGR_OK)
    })
}

/// Makes a view of a manager that sees, starts and ends only one owner's processes. Every function that takes a manager
/// takes a scope. A scope of a scope must be of the same owner.
///
/// owner: any bytes but none; copied.
/// scope: receives the handle; give it back with mgr_release, which leaves the processes alone.
///
/// MGR_OK; MGR_ERR_INVALID if an argument is NULL, or the owner empty or another scope's; MGR_ERR_HANDLE;
/// MGR_ERR_CLOSED. Does not block.
///
/// # Safety
///
/// `owner` is NULL or ends with a NUL, `scope` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_scope(manager: mgr_t, owner: *const c_char, scope: *mut mgr_t) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let scope = unsafe { Out::new(scope) }.wanted("scope is NULL")?;
        // SAFETY: the caller's promise.
        let owner = unsafe { text(owner, "owner is NULL") }?;
        let made = handles::manager(manager)?.scope(owner)?;
        scope.put(handles::add(Object::Manager(made)));
        Ok(MGR_OK)
    })
}

/// Refuses new starts, ends every process that the manager or scope sees, with everything that these left behind, and
/// waits for that. Then every other call that waits on these processes returns. Ended processes can still be read,
/// until the handle is released. Closing again changes nothing.
///
/// MGR_OK; MGR_ERR_HANDLE; MGR_ERR_IO if the kernel did not end a process within 10 seconds of KILL, or if what left a
/// process group cannot be looked for, because /proc is not mounted or there is no descriptor to be had; closing again
/// tries again then. Blocks for the manager's close grace (default 0) and the kernel's work.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_close(manager: mgr_t) -> i32 {
    call(|| {
        handles::manager(manager)?.close()?;
        Ok(MGR_OK)
    })
}

/// Gives the handle of a manager or scope back. Of a manager this closes it first, as mgr_close does; of a scope it
/// leaves the processes alone. Calls that are under way in other threads end as they would have.
///
/// MGR_OK; MGR_ERR_HANDLE. Blocks as mgr_close does for a manager, and not for a scope.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_release(manager: mgr_t) -> i32 {
    call(|| {
        let removed = handles::remove(manager, |object| matches!(object, Object::Manager(_)))?;
        if let Object::Manager(manager) = removed {
            // The last clone may be in another call's hands, so dropping ours is not enough.
            if !manager.is_scope() {
                manager.close()?;
            }
        }
        Ok(MGR_OK)
    })
}

/// Starts what the request describes. Returns when the program has been executed.
///
/// id: receives the id of the process; may be NULL.
/// error: receives the reason of a failure, with the step of the start that failed; may be NULL. Set its struct_size.
///
/// MGR_OK. MGR_ATTACHED: the request's key had been started before; nothing was started, and id names that process.
/// MGR_TIMEOUT: another start of the same key is still under way; see mgr_request_start_timeout_ms.
/// On an error nothing was started and nothing is left of it:
/// MGR_ERR_INVALID if the request cannot be started by anybody (empty command, bad variable name, an argument or
/// variable over 131,071 bytes) or belongs to another owner than the scope; MGR_ERR_SPAWN if the system did not start it
/// (no such directory or program, no permission, no more descriptors, threads or processes), see errno and error;
/// MGR_ERR_LIMIT if max_processes live already, or 16,384 keys are remembered; MGR_ERR_CONFLICT if the key or the id
/// belongs to a different request; MGR_ERR_CANCELED if the key was canceled before; MGR_ERR_EXPIRED if what the key has
/// started has ended and was dropped, and mgr_cancel tells how it ended; MGR_ERR_CLOSED; MGR_ERR_HANDLE. A key whose
/// start failed gets the same failure again.
///
/// Blocks for as long as the kernel takes to execute the program, and with a key for as long as another start of the
/// same key takes; mgr_cancel, mgr_close and the request's start timeout end that waiting.
///
/// # Safety
///
/// `id` is NULL or valid for writing; `error` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_start(
    manager: mgr_t,
    request: mgr_request_t,
    id: *mut mgr_id,
    error: *mut mgr_error,
) -> i32 {
    let empty = mgr_error {
        struct_size: size_of::<mgr_error>(),
        code: MGR_OK,
        os_error: 0,
        step: 0,
        message: [0; 500],
    };
    // SAFETY: the caller's promise.
    let place = unsafe { Sized::new(error) };
    let (described, checked) = match place {
        Ok(place) => (Some(place), Ok(())),
        Err(failure) => (None, Err(failure)),
    };
    let describe = |failure: Option<&super::outcome::Failure>| {
        if let Some(place) = &described {
            let mut error = empty;
            if let Some(failure) = failure {
                failure.describe(&mut error);
            }
            place.put(error);
        }
    };
    call_described(describe, || {
        checked?;
        // SAFETY: the caller's promise.
        let id_place = unsafe { Out::new(id) };
        let request: Request = handles::request(request)?.lock().clone();
        let process: Process = handles::manager(manager)?.start(&request)?;
        id_place.put(self::id(process.id()));
        Ok(match process.is_attached() {
            true => MGR_ATTACHED,
            false => MGR_OK,
        })
    })
}

/// Lists the processes: running ones first, newest first.
///
/// processes: an array that receives up to capacity of them; may be NULL with capacity 0, which only counts them. Set
/// the struct_size of the first one: all elements have that size.
/// count: receives how many there are in all, which may be more than capacity; may be NULL.
///
/// MGR_OK; MGR_ERR_INVALID; MGR_ERR_HANDLE. Works on a closed manager too. Does not block.
///
/// # Safety
///
/// `processes` is NULL, or valid for writing `capacity` elements of the first one's struct_size; `count` is NULL or
/// valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_list(
    manager: mgr_t,
    processes: *mut mgr_process,
    capacity: usize,
    count: *mut usize,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let count = unsafe { Out::new(count) };
        let processes = if capacity == 0 {
            std::ptr::null_mut()
        } else {
            processes
        };
        // SAFETY: the caller's promise: where there is an element, its size is set.
        let mut places = unsafe { Sized::new(processes) }?;
        if capacity > 0 {
            places = places.wanted("processes is NULL and its capacity is not 0")?;
        }
        let listing = handles::manager(manager)?.list(Some(capacity))?;
        for (index, process) in listing.processes.iter().enumerate() {
            places.put_at(index, status(process));
        }
        count.put(listing.total);
        Ok(MGR_OK)
    })
}

/// Where a process stands.
///
/// process: receives it. Set its struct_size.
///
/// MGR_OK; MGR_ERR_INVALID; MGR_ERR_NOT_FOUND if there is no such process here, or it is another owner's, or it ended
/// and was dropped; MGR_ERR_EXPIRED if it was started with a key, has ended and was dropped: process holds how it ended;
/// MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_inspect(
    manager: mgr_t,
    id: *const c_char,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Sized::new(process) }?.wanted("process is NULL")?;
        // SAFETY: the caller's promise.
        let process = unsafe { convert::process_or_end(manager, id, &place) }?;
        place.put(status(&process.status()?));
        Ok(MGR_OK)
    })
}

/// Makes sure that a key is not started any more: what was never started never will be, what is being started or runs is
/// ended (TERM, the manager's stop grace, KILL), what has ended stays as it is.
///
/// key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
/// timeout_ms: how long to wait for that; negative is for as long as it takes, 0 does not wait. The ending goes on.
/// process: receives what came of it; may be NULL. Set its struct_size. Its state is MGR_NEVER_STARTED if the key has
/// started nothing, and MGR_STARTING if it is still being started; then it has no id.
///
/// MGR_OK: nothing of it runs; ended_by tells whether it was this cancel that ended it. MGR_TIMEOUT: the time was up
/// first. MGR_ERR_LIMIT: the key was never seen and 16,384 keys are remembered already; MGR_ERR_IO: no thread to end it;
/// MGR_ERR_INVALID; MGR_ERR_HANDLE. Works on a closed manager too.
///
/// Blocks; ended by the end of the process and by the timeout.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes; `process` is NULL or valid for writing and its struct_size is set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_cancel(
    manager: mgr_t,
    key: *const c_void,
    length: usize,
    timeout_ms: i64,
    process: *mut mgr_process,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Sized::new(process) }?;
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        match handles::manager(manager)?.cancel(key, timeout(timeout_ms))? {
            Canceled::NeverStarted => {
                place.put(convert::no_process(MGR_NEVER_STARTED));
                Ok(MGR_OK)
            }
            Canceled::Ended(ended) => {
                place.put(status(&ended));
                Ok(MGR_OK)
            }
            Canceled::TimedOut(present) => {
                place.put(match present {
                    Some(present) => status(&present),
                    None => convert::no_process(MGR_STARTING),
                });
                Ok(MGR_TIMEOUT)
            }
        }
    })
}

/// The process that a key has started, also when its output is gone.
///
/// key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
/// id: receives its id; may be NULL.
///
/// MGR_OK; MGR_ERR_NOT_FOUND if the key has started nothing (yet); MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes; `id` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_find(
    manager: mgr_t,
    key: *const c_void,
    length: usize,
    id: *mut mgr_id,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Out::new(id) };
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        place.put(self::id(handles::manager(manager)?.find(key)?));
        Ok(MGR_OK)
    })
}

/// Drops an ended process and the record of its key, if it was started with one: the key is then as if it had never been
/// used. What it left behind goes on, until the manager is closed.
///
/// MGR_OK; MGR_ERR_INVALID if the process has not ended; MGR_ERR_NOT_FOUND; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `id` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_forget(manager: mgr_t, id: *const c_char) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let id = unsafe { convert::parse_id(id) }?;
        handles::manager(manager)?.forget(id)?;
        Ok(MGR_OK)
    })
}

/// Frees the record of a key that has started nothing, because its start failed or it was canceled before, or whose process
/// has ended: the key is then as if it had never been used.
///
/// key, length: 1 to 255 bytes. The owner is that of the scope; none for a manager.
///
/// MGR_OK; MGR_ERR_NOT_FOUND if there is no record of it; MGR_ERR_INVALID, also if its process has not ended;
/// MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `key` is NULL or valid for reading `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_forget_key(manager: mgr_t, key: *const c_void, length: usize) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let key = unsafe { bytes(key.cast(), length) }?;
        handles::manager(manager)?.forget_key(key)?;
        Ok(MGR_OK)
    })
}

/// Ends what hosts that are gone have left behind, whichever manager of theirs started it. Touches nothing of a host that
/// lives. For a program that was killed and starts again.
///
/// count: receives how many processes were ended; may be NULL.
///
/// MGR_OK; MGR_ERR_IO if something is left after 10 seconds, or there is no process table to look through; MGR_ERR_HANDLE.
/// Blocks for as long as the kernel takes to end them.
///
/// # Safety
///
/// `count` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_sweep_orphans(manager: mgr_t, count: *mut usize) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let count = unsafe { Out::new(count) };
        count.put(handles::manager(manager)?.sweep_orphans()?);
        Ok(MGR_OK)
    })
}

/// The name of this manager among all that ever were: by it a caller can tell "never started here" from "started by
/// another instance".
///
/// instance: receives it.
///
/// MGR_OK; MGR_ERR_INVALID; MGR_ERR_HANDLE. Does not block.
///
/// # Safety
///
/// `instance` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_instance(manager: mgr_t, instance: *mut mgr_id) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { Out::new(instance) }.wanted("instance is NULL")?;
        place.put(id(handles::manager(manager)?.instance()?));
        Ok(MGR_OK)
    })
}
