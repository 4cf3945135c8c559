//! Handles: numbers from a counter that stand for objects of ours. A wrong number is an error and never a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::{Config, Error, Events, Manager, Request};

use super::outcome::Failure;

/// What a handle stands for. A call holds it by an `Arc` while it runs, so that a release meanwhile harms nobody.
#[derive(Clone)]
pub(super) enum Object {
    Manager(Manager),
    Config(Arc<Mutex<Config>>),
    Request(Arc<Mutex<Request>>),
    Events(Arc<Events>),
}

struct Handles {
    objects: BTreeMap<u64, Object>,
    last: u64,
}

/// Locked for a look-up only. A leaf.
static HANDLES: RwLock<Handles> = RwLock::new(Handles {
    objects: BTreeMap::new(),
    last: 0,
});

/// The process that made the first handle; 0 before that.
static HOST: AtomicU32 = AtomicU32::new(0);

/// Refuses a forked copy of the host, in which the lock of the table may be held for ever.
pub(super) fn check_host() -> Result<(), Failure> {
    let own = std::process::id();
    // The first call of all decides who the host is; a fork before it is none of our business.
    match HOST.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Err(host) if host != own => Err(Failure::Api(Error::Forked)),
        _ => Ok(()),
    }
}

/// A new handle.
pub(super) fn add(object: Object) -> u64 {
    let mut handles = HANDLES.write();
    handles.last += 1;
    let handle = handles.last;
    handles.objects.insert(handle, object);
    handle
}

fn find<T>(handle: u64, of_kind: impl FnOnce(&Object) -> Option<T>) -> Result<T, Failure> {
    let handles = HANDLES.read();
    handles
        .objects
        .get(&handle)
        .and_then(of_kind)
        .ok_or(Failure::Handle)
}

pub(super) fn manager(handle: u64) -> Result<Manager, Failure> {
    find(handle, |object| match object {
        Object::Manager(manager) => Some(manager.clone()),
        _ => None,
    })
}

pub(super) fn config(handle: u64) -> Result<Arc<Mutex<Config>>, Failure> {
    find(handle, |object| match object {
        Object::Config(config) => Some(Arc::clone(config)),
        _ => None,
    })
}

pub(super) fn request(handle: u64) -> Result<Arc<Mutex<Request>>, Failure> {
    find(handle, |object| match object {
        Object::Request(request) => Some(Arc::clone(request)),
        _ => None,
    })
}

pub(super) fn events(handle: u64) -> Result<Arc<Events>, Failure> {
    find(handle, |object| match object {
        Object::Events(events) => Some(Arc::clone(events)),
        _ => None,
    })
}

/// Takes a handle back if it is of the right kind; the object is dropped by the caller, without the lock.
pub(super) fn remove(
    handle: u64,
    is_kind: impl FnOnce(&Object) -> bool,
) -> Result<Object, Failure> {
    let mut handles = HANDLES.write();
    match handles.objects.get(&handle) {
        Some(object) if is_kind(object) => handles.objects.remove(&handle).ok_or(Failure::Handle),
        _ => Err(Failure::Handle),
    }
}
