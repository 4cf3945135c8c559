//! The exported functions for options of a manager.

use std::ffi::c_char;

use parking_lot::Mutex;

use crate::{Config, Environment, Error, StartMethod};

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

/// Makes a config: options for mgr_open, all at their defaults. A config can be used for any number of
/// managers. Changing or freeing it does not affect managers that are open.
///
/// Parameters:
/// - config: receives the handle. Free it with mgr_config_free.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: config is NULL.
///
/// Blocks: no.
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

/// Frees a config.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_free(config: mgr_config_t) -> i32 {
    call(|| {
        drop(handles::remove(config, |object| {
            matches!(object, Object::Config(_))
        })?);
        Ok(MGR_OK)
    })
}

/// Sets the shell that runs commands, as SHELL -c COMMAND. Default: /bin/sh.
///
/// Parameters:
/// - shell: the path of the shell; copied.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: shell is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Sets the working directory of processes whose request names none. If it is not a directory when a
/// process is started, the process runs in the home directory ($HOME of the host, then the password
/// database), else in the host's working directory. Default: none.
///
/// Parameters:
/// - directory: the path; copied.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: directory is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Makes the base environment of processes empty. Fill it with mgr_config_variable. Default: a copy of the
/// host's environment, taken when the manager is opened. Later changes of the host's environment do not
/// reach its processes; use mgr_request_variable for those.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_clear_environment(config: mgr_config_t) -> i32 {
    call(|| change(config, |config| config.environment(Environment::new())))
}

/// Sets a variable in the base environment of processes. The first call copies the host's environment,
/// unless mgr_config_clear_environment was called before.
///
/// Parameters:
/// - name, value: the variable; copied. An invalid name is refused by mgr_open.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: name or value is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Sets the name of the environment variable that holds the owner of a process. Default: none.
///
/// Parameters:
/// - name: the name; copied. An invalid name is refused by mgr_open.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_INVALID: name is NULL.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
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

/// Sets how processes are started. Most hosts keep the default, MGR_START_AUTOMATIC.
///
/// Parameters:
/// - method: MGR_START_AUTOMATIC or MGR_START_STD.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_UNSUPPORTED: method is MGR_START_POSIX_SPAWN.
/// - MGR_ERR_INVALID: there is no such method.
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_start_method(config: mgr_config_t, method: i32) -> i32 {
    call(|| {
        let method = match method {
            MGR_START_AUTOMATIC => StartMethod::Automatic,
            MGR_START_POSIX_SPAWN => {
                let what = "the start method posix_spawn".to_owned();
                return Err(Error::Unsupported { what }.into());
            }
            MGR_START_STD => StartMethod::Std,
            _ => return Err(CallError::Argument("there is no such start method")),
        };
        change(config, |config| config.start_method(method))
    })
}

/// Sets how many bytes of the beginning of each stream are kept. Default: 16,384.
///
/// Parameters:
/// - bytes: up to 1 GiB. A number out of range is refused by mgr_open.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_head_bytes(config: mgr_config_t, bytes: usize) -> i32 {
    call(|| change(config, |config| config.head_bytes(bytes)))
}

/// Sets how many bytes of the end of each stream are kept. Default: 16,384.
///
/// Parameters:
/// - bytes: 1 to 1 GiB. A number out of range is refused by mgr_open.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_tail_bytes(config: mgr_config_t, bytes: usize) -> i32 {
    call(|| change(config, |config| config.tail_bytes(bytes)))
}

/// Sets the length of the longest line in the text of mgr_output. Of a longer line the
/// beginning and the end are shown, with " ... [N bytes] ... " between them. Default: 2,048.
///
/// Parameters:
/// - bytes: the length in bytes; 0 is no limit.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_max_line_bytes(config: mgr_config_t, bytes: usize) -> i32 {
    call(|| change(config, |config| config.max_line_bytes(bytes)))
}

/// Sets how many processes may be live at the same time. A process is live until its leader and its output
/// have ended. Default: 1,024.
///
/// Parameters:
/// - count: at least 1. 0 is refused by mgr_open.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_max_processes(config: mgr_config_t, count: usize) -> i32 {
    call(|| change(config, |config| config.max_processes(count)))
}

/// Sets how many ended processes are kept. The oldest are dropped first. Default: 1,024.
///
/// Parameters:
/// - count: any number.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_max_ended(config: mgr_config_t, count: usize) -> i32 {
    call(|| change(config, |config| config.max_ended(count)))
}

/// Sets how long an ended process is kept, from the end of its leader or, if that is later, of its output.
/// Then it is dropped. Default: 300,000 (5 minutes).
///
/// Parameters:
/// - time_ms: milliseconds; negative is without a limit.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_keep_ended_ms(config: mgr_config_t, time_ms: i64) -> i32 {
    call(|| change(config, |config| config.keep_ended(period(time_ms))))
}

/// Sets how long an ended process that was started with a key is kept. After that, its output is dropped;
/// its key and its final state are remembered. Default: 3,600,000 (1 hour).
///
/// Parameters:
/// - time_ms: milliseconds; negative is without a limit.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_keep_keyed_ms(config: mgr_config_t, time_ms: i64) -> i32 {
    call(|| change(config, |config| config.keep_keyed(period(time_ms))))
}

/// Sets the time between TERM and KILL for a process that has reached its time limit and for one whose key
/// is canceled. Default: 5,000.
///
/// Parameters:
/// - grace_ms: milliseconds; with a negative number, KILL is never sent.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_stop_grace_ms(config: mgr_config_t, grace_ms: i64) -> i32 {
    call(|| change(config, |config| config.stop_grace(period(grace_ms))))
}

/// Sets the time between TERM and KILL when the manager or a scope is closed. Default: 0, which sends KILL
/// at once.
///
/// Parameters:
/// - grace_ms: milliseconds; with a negative number, KILL is never sent.
///
/// Returns:
/// - MGR_OK
/// - MGR_ERR_HANDLE
///
/// Blocks: no.
#[unsafe(no_mangle)]
pub extern "C" fn mgr_config_close_grace_ms(config: mgr_config_t, grace_ms: i64) -> i32 {
    call(|| change(config, |config| config.close_grace(period(grace_ms))))
}
