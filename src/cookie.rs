//! The cookie: variables in the environment of every process that is started, by which the process is
//! found again.
//!
//! - [`ID_VARIABLE`] names the process.
//! - [`HOST_VARIABLE`] names the manager and the host: the manager's instance id, and the pid
//!   namespace, pid, start time and time namespace of the host. With it, another program can check
//!   whether that host still runs.
//! - [`OWNER_VARIABLE`] stands for the owner of the process, if it has one. When a scope is closed, what
//!   its owner has left behind is found, also after the record of the process was dropped.
//! - [`ANCESTORS_VARIABLE`] names the processes that the host itself was started in. When one of these
//!   is ended, the processes that a manager inside of it has started are found too.
//!
//! An id names a process only together with the instance id of its manager: the caller of a start may have
//! chosen it.
//!
//! Child processes inherit the cookie. A process that overwrites its initial environment, or executes a
//! program with another one, loses it. No lock is taken here.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use crate::host::Host;
use crate::id::Id;

/// The environment variable by which a process, and every process that it starts, is found.
pub const ID_VARIABLE: &str = "PROCMGR_ID";

/// The environment variable that names the manager and the host of a process.
pub const HOST_VARIABLE: &str = "PROCMGR_HOST";

/// The environment variable that names the processes that the host of a process was started in, if it
/// was started by procmgr.
pub const ANCESTORS_VARIABLE: &str = "PROCMGR_ANCESTORS";

/// The environment variable that stands for the owner of a process. It does not show the owner's name.
pub const OWNER_VARIABLE: &str = "PROCMGR_OWNER";

/// A process that was started: the instance id of its manager, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) instance: Id,
    pub(crate) id: Id,
}

/// A process that a host was started in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ancestor {
    pub(crate) mark: Mark,
    pub(crate) owner: Option<OwnerMark>,
}

/// Stands for an owner in the cookies of one manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerMark(u64);

impl OwnerMark {
    pub(crate) fn new(instance: Id, owner: &OsStr) -> Self {
        let mut hasher = DefaultHasher::new();
        (instance, owner).hash(&mut hasher);
        OwnerMark(hasher.finish())
    }

    /// The value of [`OWNER_VARIABLE`].
    pub(crate) fn value(self) -> String {
        format!("{:016x}", self.0)
    }

    fn parse(value: &str) -> Option<Self> {
        u64::from_str_radix(value, 16).ok().map(OwnerMark)
    }
}

/// The manager and the host that have started a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) instance: Id,
    /// `None` if the host could not read its own entry in `/proc`.
    pub(crate) host: Option<Host>,
}

/// The cookie of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) id: Id,
    pub(crate) origin: Option<Origin>,
    pub(crate) owner: Option<OwnerMark>,
    pub(crate) ancestors: Vec<Ancestor>,
}

impl Origin {
    /// The value of [`HOST_VARIABLE`].
    fn value(&self) -> String {
        match self.host {
            Some(host) => format!("{}:{host}", self.instance),
            None => self.instance.to_string(),
        }
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(value: &str) -> Result<Self, ()> {
        let (instance, host) = match value.split_once(':') {
            Some((instance, host)) => (instance, host.parse().ok()),
            None => (value, None),
        };
        let instance = instance.parse().map_err(drop)?;
        Ok(Origin { instance, host })
    }
}

impl Cookie {
    /// The processes that this program itself was started in, the innermost last.
    pub(crate) fn own_ancestors() -> Vec<Ancestor> {
        let text = |name| std::env::var(name).unwrap_or_default();
        let mut all = ancestors(&text(ANCESTORS_VARIABLE));
        let origin = text(HOST_VARIABLE).parse::<Origin>();
        if let (Ok(origin), Ok(id)) = (origin, text(ID_VARIABLE).parse()) {
            let instance = origin.instance;
            all.push(Ancestor {
                mark: Mark { instance, id },
                owner: OwnerMark::parse(&text(OWNER_VARIABLE)),
            });
        }
        all
    }

    /// The variables of the cookie that are the same for all processes of a manager: all but
    /// [`ID_VARIABLE`] and [`OWNER_VARIABLE`].
    pub(crate) fn common(origin: Origin, ancestors: &[Ancestor]) -> Vec<(&'static str, String)> {
        let mut variables = vec![(HOST_VARIABLE, origin.value())];
        if !ancestors.is_empty() {
            let texts = ancestors.iter().map(|Ancestor { mark, owner }| {
                let owner = owner.map(OwnerMark::value).unwrap_or_default();
                format!("{}:{}:{owner}", mark.instance, mark.id)
            });
            let texts: Vec<_> = texts.collect();
            variables.push((ANCESTORS_VARIABLE, texts.join(",")));
        }
        variables
    }

    /// The cookie in an environment in the kernel's form: `NAME=VALUE` strings, each followed by a NUL.
    pub(crate) fn find(environment: &[u8]) -> Option<Self> {
        let value = |name: &str| {
            // Most environments have no cookie, so the search must be fast.
            let name = name.as_bytes();
            let starts = memchr::memmem::find_iter(environment, name);
            let mut values = starts.filter_map(|start| {
                let is_name = start == 0 || environment[start - 1] == 0;
                let value = environment[start + name.len()..].strip_prefix(b"=")?;
                let end = memchr::memchr(0, value).unwrap_or(value.len());
                is_name.then_some(&value[..end])
            });
            std::str::from_utf8(values.next()?).ok()
        };
        Some(Cookie {
            id: value(ID_VARIABLE)?.parse().ok()?,
            origin: value(HOST_VARIABLE).and_then(|value| value.parse().ok()),
            owner: value(OWNER_VARIABLE).and_then(OwnerMark::parse),
            ancestors: ancestors(value(ANCESTORS_VARIABLE).unwrap_or_default()),
        })
    }

    /// The process itself, and those that its host was started in.
    pub(crate) fn marks(&self) -> impl Iterator<Item = Mark> {
        self.owned_marks().map(|(mark, _)| mark)
    }

    /// The same, with their owners.
    pub(crate) fn owned_marks(&self) -> impl Iterator<Item = (Mark, Option<OwnerMark>)> {
        let id = self.id;
        let own = self
            .origin
            .map(|Origin { instance, .. }| Mark { instance, id });
        let own = own.into_iter().map(|mark| (mark, self.owner));
        let ancestors = self.ancestors.iter();
        own.chain(ancestors.map(|ancestor| (ancestor.mark, ancestor.owner)))
    }
}

fn ancestors(text: &str) -> Vec<Ancestor> {
    let ancestors = text.split(',').filter_map(|ancestor| {
        let mut parts = ancestor.split(':');
        let mark = Mark {
            instance: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
        };
        let owner = parts.next().and_then(OwnerMark::parse);
        Some(Ancestor { mark, owner })
    });
    ancestors.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_cookie_is_found() {
        let origin = Origin {
            instance: Id::random(),
            host: Host::own(),
        };
        assert!(origin.host.is_some());
        let ancestor = |owner| Ancestor {
            mark: Mark {
                instance: Id::random(),
                id: Id::random(),
            },
            owner,
        };
        let cookie = Cookie {
            id: Id::random(),
            origin: Some(origin),
            owner: Some(OwnerMark::new(origin.instance, OsStr::new("chat a"))),
            ancestors: vec![ancestor(None), ancestor(Some(OwnerMark(7)))],
        };
        let mut environment = b"NOT_PROCMGR_ID=x\0A=PROCMGR_ID=b\0".to_vec();
        assert_eq!(Cookie::find(&environment), None);
        let owner = cookie.owner.map(OwnerMark::value).unwrap_or_default();
        let own = [
            (ID_VARIABLE, cookie.id.to_string()),
            (OWNER_VARIABLE, owner),
        ];
        for (name, value) in own
            .into_iter()
            .chain(Cookie::common(origin, &cookie.ancestors))
        {
            environment.extend(name.as_bytes());
            environment.push(b'=');
            environment.extend(value.as_bytes());
            environment.push(0);
        }
        assert_eq!(Cookie::find(&environment), Some(cookie.clone()));
        let own = Mark {
            instance: origin.instance,
            id: cookie.id,
        };
        let marks = [own, cookie.ancestors[0].mark, cookie.ancestors[1].mark];
        assert!(cookie.marks().eq(marks));
    }
}
