//! The environment of a new process: where each variable comes from, and which one wins.

use std::ffi::OsStr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::{Config, Environment};
use crate::cookie::Cookie;
use crate::request::check_variable;

/// The environment for one process. Later wins: the host's or the manager's fixed one, the manager's hook, the
/// request's variables, the owner, the id.
pub(crate) fn build<'a>(
    config: &Config,
    variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>,
    owner: Option<&OsStr>,
    cookie: &Cookie,
) -> Environment {
    let mut environment = match &config.environment {
        Some(fixed) => fixed.clone(),
        None => std::env::vars_os().collect(),
    };
    if let Some(hook) = &config.environment_hook {
        let mut changed = environment.clone();
        // The hook is the host's code: whatever it does, the start goes on.
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            hook(&mut changed).map_err(|error| error.to_string())?;
            for (name, value) in &changed {
                check_variable(name, value).map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        }));
        match outcome {
            Ok(Ok(())) => environment = changed,
            Ok(Err(error)) => config.warn(&format!("the environment hook failed: {error}")),
            Err(_) => config.warn("the environment hook panicked"),
        }
    }
    for (name, value) in variables {
        environment.insert(name.into(), value.into());
    }
    if let (Some(name), Some(owner)) = (&config.owner_variable, owner) {
        environment.insert(name.clone(), owner.into());
    }
    environment.extend(cookie.variables());
    environment
}
