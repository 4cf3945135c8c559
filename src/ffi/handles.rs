//! Handles: numbers that stand for objects of this library.
//!
//! This module holds the table of handles. A number is never used twice. A wrong number is an error and
//! never a crash.
//!
//! Lock order: the lock of the table is a leaf. It is held for a look-up only.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::{Config, Events, Manager, Request};

use super::error::CallError;

/// What a handle stands for. A call clones it, so that the object outlives a release during the call.
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

/// Locked for a look-up only; a leaf.
static HANDLES: RwLock<Handles> = RwLock::new(Handles {
    objects: BTreeMap::new(),
    last: 0,
});

/// Makes a handle.
pub(super) fn add(object: Object) -> u64 {
    let mut handles = HANDLES.write();
    handles.last += 1;
    let handle = handles.last;
    handles.objects.insert(handle, object);
    handle
}

fn find<T>(handle: u64, of_kind: impl FnOnce(&Object) -> Option<T>) -> Result<T, CallError> {
    let handles = HANDLES.read();
    handles
        .objects
        .get(&handle)
        .and_then(of_kind)
        .ok_or(CallError::Handle)
}

pub(super) fn manager(handle: u64) -> Result<Manager, CallError> {
    find(handle, |object| match object {
        Object::Manager(manager) => Some(manager.clone()),
        _ => None,
    })
}

pub(super) fn config(handle: u64) -> Result<Arc<Mutex<Config>>, CallError> {
    find(handle, |object| match object {
        Object::Config(config) => Some(Arc::clone(config)),
        _ => None,
    })
}

pub(super) fn request(handle: u64) -> Result<Arc<Mutex<Request>>, CallError> {
    find(handle, |object| match object {
        Object::Request(request) => Some(Arc::clone(request)),
        _ => None,
    })
}

pub(super) fn events(handle: u64) -> Result<Arc<Events>, CallError> {
    find(handle, |object| match object {
        Object::Events(events) => Some(Arc::clone(events)),
        _ => None,
    })
}

/// Removes a handle if it is of the right kind. The caller drops the object, after the lock was released.
pub(super) fn remove(
    handle: u64,
    is_kind: impl FnOnce(&Object) -> bool,
) -> Result<Object, CallError> {
    let mut handles = HANDLES.write();
    match handles.objects.get(&handle) {
        Some(object) if is_kind(object) => handles.objects.remove(&handle).ok_or(CallError::Handle),
        _ => Err(CallError::Handle),
    }
}
