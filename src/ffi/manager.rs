//! Managers and scopes.

use std::ffi::c_char;

use crate::{Config, Manager};

use super::call::call;
use super::codes::MGR_OK;
use super::convert::id;
use super::handles::{self, Object};
use super::memory::{Out, text};
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
        manager.put(handles::add(Object::Manager(Manager::open(config)?)));
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
