//! The environment of a new process: where each variable comes from, and which value wins.
//!
//! [`Base`] is the base environment of a manager. The cookie is in every environment, and neither the host,
//! the hook nor a request can change it. No lock is taken.
//!
//! Variables are stored in the form that `execve` takes. The part that all processes of a manager have
//! in common is made once, when the manager is opened, and shared by all starts that do not change it.
//! Reading and sorting the host's environment for each start took a tenth of the start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::{Config, Environment};
use crate::cookie::{
    ANCESTORS_VARIABLE, Ancestor, Cookie, HOST_VARIABLE, ID_VARIABLE, OWNER_VARIABLE, Origin,
    OwnerMark,
};
use crate::id::Id;
use crate::request::check_variable;
use crate::sys::cstrings::CStrings;

/// The variables that the environment of each process of a manager begins with.
#[derive(Debug)]
pub(crate) struct Base {
    /// The configured environment, or the host's as it was when the manager was opened, with the cookie.
    /// `None` if there is a hook, which makes another one for each start.
    shared: Option<CStrings>,
    /// The variables of the cookie that are the same for all processes of the manager.
    cookie: Vec<(&'static str, String)>,
    instance: Id,
}

/// The environment of one process, as `NAME=VALUE` strings.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Without the variables that are in `own`.
    base: Cow<'a, CStrings>,
    /// The variables that are set for this process only.
    own: CStrings,
}

impl Base {
    pub(crate) fn new(config: &Config, origin: Origin, ancestors: &[Ancestor]) -> Self {
        let cookie = Cookie::common(origin, ancestors);
        let strings = |variables: &mut dyn Iterator<Item = (OsString, OsString)>| {
            let mut strings = CStrings::default();
            variables
                .filter(|(name, _)| !is_cookie(name))
                .for_each(|(name, value)| push(&mut strings, &name, &value));
            push_cookie(&mut strings, &cookie);
            Some(strings)
        };
        let shared = match (&config.environment_hook, &config.environment) {
            (Some(_), _) => None,
            (None, Some(fixed)) => strings(&mut fixed.clone().into_iter()),
            (None, None) => strings(&mut std::env::vars_os()),
        };
        Base {
            shared,
            cookie,
            instance: origin.instance,
        }
    }

    /// The environment of one process. The later of these wins: the base, the manager's hook, the
    /// request's variables, the owner, the cookie.
    pub(crate) fn block(
        &self,
        config: &Config,
        variables: &[(OsString, OsString)],
        owner: Option<&OsStr>,
        id: Id,
    ) -> Block<'_> {
        let mut own: BTreeMap<&OsStr, &OsStr> = variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .filter(|(name, _)| !is_cookie(name))
            .collect();
        if let (Some(name), Some(owner)) = (&config.owner_variable, owner) {
            own.insert(name, owner);
        }
        let base = match &self.shared {
            Some(base) if own.is_empty() => Cow::Borrowed(base),
            Some(base) => Cow::Owned(without(self::variables(base), &own)),
            None => {
                let hooked = hooked(config);
                let hooked = hooked.iter().map(|(name, value)| (&**name, &**value));
                let mut strings = without(hooked.filter(|(name, _)| !is_cookie(name)), &own);
                push_cookie(&mut strings, &self.cookie);
                Cow::Owned(strings)
            }
        };
        let mut strings = CStrings::default();
        own.iter()
            .for_each(|(name, value)| push(&mut strings, name, value));
        push_cookie(&mut strings, &[(ID_VARIABLE, id.to_string())]);
        if let Some(owner) = owner {
            let mark = OwnerMark::new(self.instance, owner);
            push_cookie(&mut strings, &[(OWNER_VARIABLE, mark.value())]);
        }
        Block { base, own: strings }
    }
}

impl Block<'_> {
    /// All variables, in two lists.
    pub(crate) fn strings(&self) -> [&CStrings; 2] {
        [&self.base, &self.own]
    }

    /// The names and values of all variables.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.strings().into_iter().flat_map(variables)
    }
}

fn is_cookie(name: &OsStr) -> bool {
    let cookie = [
        ID_VARIABLE,
        HOST_VARIABLE,
        OWNER_VARIABLE,
        ANCESTORS_VARIABLE,
    ];
    cookie.iter().any(|cookie| name == *cookie)
}

fn push_cookie(strings: &mut CStrings, cookie: &[(&str, String)]) {
    for (name, value) in cookie {
        strings.push(&[name.as_bytes(), b"=", value.as_bytes()]);
    }
}

fn push(strings: &mut CStrings, name: &OsStr, value: &OsStr) {
    strings.push(&[name.as_bytes(), b"=", value.as_bytes()]);
}

/// The variables whose names are not among the others.
fn without<'a>(
    variables: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
    others: &BTreeMap<&OsStr, &OsStr>,
) -> CStrings {
    let mut strings = CStrings::default();
    variables
        .filter(|(name, _)| !others.contains_key(name))
        .for_each(|(name, value)| push(&mut strings, name, value));
    strings
}

fn variables(strings: &CStrings) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    strings.iter().filter_map(|variable| {
        // A host may have a name that begins with an equals sign. No name has one after its first byte.
        let end = 1 + variable.get(1..)?.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&variable[..end], &variable[end + 1..]);
        Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
    })
}

/// The configured environment, or the host's at this moment, as changed by the manager's hook; unchanged
/// if the hook fails.
fn hooked(config: &Config) -> Environment {
    let fixed = config.environment.clone();
    let environment = fixed.unwrap_or_else(|| std::env::vars_os().collect());
    let Some(hook) = &config.environment_hook else {
        return environment;
    };
    let mut changed = environment.clone();
    // The hook is code of the host. If it fails or panics, the start continues.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        hook(&mut changed).map_err(|error| error.to_string())?;
        for (name, value) in &changed {
            check_variable(name, value).map_err(|error| error.to_string())?;
        }
        Ok::<(), String>(())
    }));
    match outcome {
        Ok(Ok(())) => return changed,
        Ok(Err(error)) => config.warn(&format!("the environment hook failed: {error}")),
        Err(_) => config.warn("the environment hook panicked"),
    }
    environment
}
