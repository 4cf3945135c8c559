//! Options for a manager.

use std::ffi::c_char;

use parking_lot::Mutex;

use crate::{Config, Environment, StartMethod};

use super::call::call;
use super::codes::MGR_OK;
use super::convert::period;
use super::error::{CallError, CallResult};
use super::handles::{self, Object};
use super::memory::{Out, text};
use super::types::*;

fn change(config: mgr_config_t, change: impl FnOnce(Config) -> Config) -> CallResult {
    let config = handles::config(config)?;
    let mut config = config.lock();
    *config = change(config.clone());
    Ok(MGR_OK)
}

/// Makes options for mgr_open, all at their defaults. Options may be used for any number of managers, and be changed or
/// freed after mgr_open without changing a manager that is open.
///
/// config: receives the handle; give it back with mgr_config_free.
///
/// MGR_OK; MGR_ERR_INVALID if config is NULL. Does not block.
///
/// # Safety
///
/// `config` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_config_new(config: *mut mgr_config_t) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let config = unsafe { Out::new(config) }.wanted("config is NULL")?;
        config.put(handles::add(Object::Config(
            Mutex::new(Config::new()).into(),
        )));
        Ok(MGR_OK)
    })
}

/// Gives options back. Managers opened with them keep them.
///
/// MGR_OK; MGR_ERR_HANDLE if these are no options. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_free(config: mgr_config_t) -> i32 {
    call(|| {
        drop(handles::remove(config, |object| {
            matches!(object, Object::Config(_))
        })?);
        Ok(MGR_OK)
    })
}

/// The shell that runs commands, as SHELL -c COMMAND. Default: /bin/sh.
///
/// MGR_OK; MGR_ERR_INVALID if shell is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
///
/// # Safety
///
/// `shell` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_config_shell(config: mgr_config_t, shell: *const c_char) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let shell = unsafe { text(shell, "shell is NULL") }?;
        change(config, |config| config.shell(shell))
    })
}

/// Where requests without a directory run, if it is a directory then; else in the home directory ($HOME, then the
/// password database), else in the host's own. Default: none.
///
/// MGR_OK; MGR_ERR_INVALID if directory is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
///
/// # Safety
///
/// `directory` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_config_directory(
    config: mgr_config_t,
    directory: *const c_char,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let directory = unsafe { text(directory, "directory is NULL") }?;
        change(config, |config| config.directory(directory))
    })
}

/// Starts processes with an environment of their own instead of the host's: empty at first, and filled by
/// mgr_config_variable. Default: the host's environment as it is when the manager is opened. What the host changes in its
/// own environment after that does not reach its processes; mgr_request_variable does.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_clear_environment(config: mgr_config_t) -> i32 {
    call(|| change(config, |config| config.environment(Environment::new())))
}

/// Sets a variable of the environment that processes are started with instead of the host's. The first call takes the
/// host's environment as it is then, unless mgr_config_clear_environment was called before.
///
/// MGR_OK; MGR_ERR_INVALID if name or value is NULL; MGR_ERR_HANDLE. A name that cannot be one is refused by mgr_open.
/// The texts are copied. Does not block.
///
/// # Safety
///
/// `name` and `value` are NULL or end with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_config_variable(
    config: mgr_config_t,
    name: *const c_char,
    value: *const c_char,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name is NULL") }?;
        // SAFETY: the caller's promise.
        let value = unsafe { text(value, "value is NULL") }?;
        change(config, |config| config.variable(name, value))
    })
}

/// The variable in which a process finds its owner. Default: none.
///
/// MGR_OK; MGR_ERR_INVALID if name is NULL; MGR_ERR_HANDLE. The text is copied. Does not block.
///
/// # Safety
///
/// `name` is NULL or ends with a NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mgr_config_owner_variable(
    config: mgr_config_t,
    name: *const c_char,
) -> i32 {
    call(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name is NULL") }?;
        change(config, |config| config.owner_variable(name))
    })
}

/// How processes are started, for those who must have one way: MGR_START_AUTOMATIC (the default), MGR_START_POSIX_SPAWN
/// (starts answer MGR_ERR_UNSUPPORTED where the C library cannot do it, as before glibc 2.34) or MGR_START_STD.
///
/// MGR_OK; MGR_ERR_INVALID for another number; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_start_method(config: mgr_config_t, method: i32) -> i32 {
    call(|| {
        let method = match method {
            MGR_START_AUTOMATIC => StartMethod::Automatic,
            MGR_START_POSIX_SPAWN => StartMethod::PosixSpawn,
            MGR_START_STD => StartMethod::Std,
            _ => return Err(CallError::Argument("there is no such start method")),
        };
        change(config, |config| config.start_method(method))
    })
}

/// How many bytes at the beginning of each stream are kept, up to 1 GiB. Default: 16,384.
///
/// MGR_OK; MGR_ERR_HANDLE. A number out of range is refused by mgr_open. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_head_bytes(config: mgr_config_t, bytes: usize) -> i32 {
    call(|| change(config, |config| config.head_bytes(bytes)))
}

/// How many bytes at the end of each stream are kept, from 1 to 1 GiB. Default: 16,384.
///
/// MGR_OK; MGR_ERR_HANDLE. A number out of range is refused by mgr_open. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_tail_bytes(config: mgr_config_t, bytes: usize) -> i32 {
    call(|| change(config, |config| config.tail_bytes(bytes)))
}

/// The longest line in the text of mgr_output, in bytes; 0 for no limit. Default: 2,048.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_max_line_bytes(config: mgr_config_t, bytes: usize) -> i32 {
    call(|| change(config, |config| config.max_line_bytes(bytes)))
}

/// How many processes may live at once; one lives while its leader runs or its output is open. Default: 1,024.
///
/// MGR_OK; MGR_ERR_HANDLE. Zero is refused by mgr_open. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_max_processes(config: mgr_config_t, count: usize) -> i32 {
    call(|| change(config, |config| config.max_processes(count)))
}

/// How many ended processes are kept; the oldest are dropped first. Default: 1,024.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_max_ended(config: mgr_config_t, count: usize) -> i32 {
    call(|| change(config, |config| config.max_ended(count)))
}

/// How long an ended process is kept, in milliseconds; negative is for ever. Default: 300,000 (5 minutes).
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_keep_ended_ms(config: mgr_config_t, time_ms: i64) -> i32 {
    call(|| change(config, |config| config.keep_ended(period(time_ms))))
}

/// How long an ended process that was started with a key is kept, in milliseconds; negative is for ever. What its key has
/// started, and how that ended, is remembered after that. Default: 3,600,000 (1 hour).
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_keep_keyed_ms(config: mgr_config_t, time_ms: i64) -> i32 {
    call(|| change(config, |config| config.keep_keyed(period(time_ms))))
}

/// The time between TERM and KILL when the time limit of a request expires and when a key is canceled, in milliseconds; negative never sends KILL.
/// Default: 5,000.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_stop_grace_ms(config: mgr_config_t, grace_ms: i64) -> i32 {
    call(|| change(config, |config| config.stop_grace(period(grace_ms))))
}

/// The time between TERM and KILL when the manager or a scope is closed, in milliseconds; negative never sends KILL.
/// Default: 0, KILL at once.
///
/// MGR_OK; MGR_ERR_HANDLE. Does not block.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_close_grace_ms(config: mgr_config_t, grace_ms: i64) -> i32 {
    call(|| change(config, |config| config.close_grace(period(grace_ms))))
}
