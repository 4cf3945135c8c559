//! The environment of a new process: where each variable comes from, and which one wins.
//!
//! Variables are kept in the form that the kernel takes. What a manager's processes have in common is put into it once, when
//! the manager is opened, and shared by all starts that change nothing of it: to read the host's environment and to sort
//! it in between was a tenth of a start.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::config::{Config, Environment};
use crate::cookie::{ANCESTORS_VARIABLE, Cookie, HOST_VARIABLE, ID_VARIABLE, Origin};
use crate::id::Id;
use crate::request::check_variable;
use crate::sys::texts::Texts;

/// What a manager's processes begin with.
#[derive(Debug)]
pub(crate) struct Base {
    /// The manager's fixed environment, or the host's when the manager was opened, with the marks. `None` where a hook makes
    /// another one for each start.
    shared: Option<Texts>,
    /// Who started them.
    marks: Vec<(&'static str, String)>,
}

/// The environment of one process, as `NAME=VALUE` each.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    /// Without what `own` has.
    base: Cow<'a, Texts>,
    /// What is set for this process alone.
    own: Texts,
}

impl Base {
    pub(crate) fn new(config: &Config, origin: Origin, ancestors: &[Id]) -> Self {
        let marks = Cookie::common(origin, ancestors);
        let texts = |variables: &mut dyn Iterator<Item = (OsString, OsString)>| {
            let mut texts = Texts::default();
            variables
                .filter(|(name, _)| !is_cookie(name))
                .for_each(|(name, value)| push(&mut texts, &name, &value));
            push_marks(&mut texts, &marks);
            Some(texts)
        };
        let shared = match (&config.environment_hook, &config.environment) {
            (Some(_), _) => None,
            (None, Some(fixed)) => texts(&mut fixed.clone().into_iter()),
            (None, None) => texts(&mut std::env::vars_os()),
        };
        Base { shared, marks }
    }

    /// The environment for one process. Later wins: the base, the manager's hook, the request's variables, the owner, the
    /// cookie.
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
                let mut texts = without(hooked.filter(|(name, _)| !is_cookie(name)), &own);
                push_marks(&mut texts, &self.marks);
                Cow::Owned(texts)
            }
        };
        let mut texts = Texts::default();
        own.iter()
            .for_each(|(name, value)| push(&mut texts, name, value));
        push_marks(&mut texts, &[(ID_VARIABLE, id.to_string())]);
        Block { base, own: texts }
    }
}

impl Block<'_> {
    /// All variables, in the two lists that they are in.
    pub(crate) fn texts(&self) -> [&Texts; 2] {
        [&self.base, &self.own]
    }

    /// The names and values.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.texts().into_iter().flat_map(variables)
    }
}

fn is_cookie(name: &OsStr) -> bool {
    [ID_VARIABLE, HOST_VARIABLE, ANCESTORS_VARIABLE]
        .iter()
        .any(|cookie| name == *cookie)
}

fn push_marks(texts: &mut Texts, marks: &[(&str, String)]) {
    for (name, value) in marks {
        texts.push(&[name.as_bytes(), b"=", value.as_bytes()]);
    }
}

fn push(texts: &mut Texts, name: &OsStr, value: &OsStr) {
    texts.push(&[name.as_bytes(), b"=", value.as_bytes()]);
}

/// Those of the variables that are not among the others.
fn without<'a>(
    variables: impl Iterator<Item = (&'a OsStr, &'a OsStr)>,
    others: &BTreeMap<&OsStr, &OsStr>,
) -> Texts {
    let mut texts = Texts::default();
    variables
        .filter(|(name, _)| !others.contains_key(name))
        .for_each(|(name, value)| push(&mut texts, name, value));
    texts
}

fn variables(texts: &Texts) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    texts.iter().filter_map(|variable| {
        // A host may have names that begin with an equals sign; after that no name has one.
        let end = 1 + variable.get(1..)?.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&variable[..end], &variable[end + 1..]);
        Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
    })
}

/// What the manager's hook makes of its fixed environment, or of the host's at this moment; the same one if it fails.
fn hooked(config: &Config) -> Environment {
    let fixed = config.environment.clone();
    let environment = fixed.unwrap_or_else(|| std::env::vars_os().collect());
    let Some(hook) = &config.environment_hook else {
        return environment;
    };
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
        Ok(Ok(())) => return changed,
        Ok(Err(error)) => config.warn(&format!("the environment hook failed: {error}")),
        Err(_) => config.warn("the environment hook panicked"),
    }
    environment
}
