//! The exported functions for managers and scopes.

use std::ffi::c_char;

use crate::{Config, Manager};

use super::call::call;
use super::codes::MGR_OK;
use super::convert::id;
use super::handles::{self, Object};
use super::memory::{Out, text};
use super::types::*;

/// Opens a manager: a registry of processes. It has one thread and two descriptors of its own until it is
/// closed.
///
/// Parameters:
/// - config: a config handle, or 0 for all defaults. The manager copies the options.
/// - manager: receives the handle. Release it with mgr_release.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: manager is NULL, or an option is out of range.
/// - MGR_ERR_HANDLE: config is neither 0 nor a config handle.
/// - MGR_ERR_IO: out of threads or file descriptors.
///
/// Blocks: no.
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
        manager.put(handles::add(Object::Manager(Manager::open(config)?)));
        Ok(MGR_OK)
    })
}

/// Makes a scope: a view of a manager that sees, starts and ends only the processes of one owner. Every
/// function that takes a manager takes a scope too. A scope of a scope must have the same owner.
///
/// Parameters:
/// - owner: the owner; not empty, any bytes; copied.
/// - scope: receives the handle. Release it with mgr_release, which leaves the processes alone.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: an argument is NULL, the owner is empty, or manager is a scope of another owner.
/// - MGR_ERR_HANDLE
/// - MGR_ERR_CLOSED
///
/// Blocks: no.
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

/// Reports the id of a manager, which is different for each manager that is opened. With it, a caller can
/// tell a key that was never started here from one that was started by another manager. A scope has the id
/// of its manager.
///
/// Parameters:
/// - instance: receives the id.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: instance is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Ends all processes that the manager or scope sees, with everything that they left behind, and waits
/// until they have ended. New starts are refused. Other calls that wait for these processes return. Ended
/// processes can still be read, until the handle is released. Closing again changes nothing.
///
/// Returns:
/// - MGR_OK: nothing is left.
/// - MGR_ERR_HANDLE
/// - MGR_ERR_IO: a process has not ended 10 seconds after KILL; or processes that left their process group
///   cannot be searched for, because /proc is not mounted or the system is out of file descriptors. Closing
///   again tries again.
///
/// Blocks: until starts under way have finished; then up to the manager's close grace (default 0) and until
/// the kernel has ended the processes.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_close(manager: mgr_t) -> i32 {
    call(|| {
        handles::manager(manager)?.close()?;
        Ok(MGR_OK)
    })
}

/// Gives back the handle of a manager or scope. A manager is closed first, as by mgr_close. Of a scope, the
/// processes are left alone. Calls that are under way in other threads go on.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
/// - MGR_ERR_IO: as for mgr_close. The handle is released all the same.
///
/// Blocks: as mgr_close for a manager, unless mgr_close has failed before; not for a scope.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_release(manager: mgr_t) -> i32 {
    call(|| {
        let removed = handles::remove(manager, |object| matches!(object, Object::Manager(_)))?;
        if let Object::Manager(manager) = removed {
            // Another call may hold a clone, so dropping this one would not close it.
            if !manager.is_scope() {
                manager.close_once()?;
            }
        }
        Ok(MGR_OK)
    })
}

/// Ends the processes of hosts that have ended, whichever manager of theirs has started them. For a program
/// that was killed and starts again. Processes of a host that may
/// run are left alone, also if it cannot be looked at; so are those of hosts in other pid or time namespaces,
/// the calling program and its ancestors.
///
/// Parameters:
/// - count: receives the number of processes that were ended; may be NULL.
///
/// Returns:
/// - MGR_OK: nothing is left.
/// - MGR_ERR_IO: some have not ended after 10 seconds, or /proc cannot be read.
/// - MGR_ERR_HANDLE
///
/// Blocks: until they have ended, at most 10 seconds.
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
