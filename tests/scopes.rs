//! Scopes: an owner sees, starts and ends its own processes and nothing else.

mod common;

use common::{
    FOREVER, carriers, is_alive, open, start, start_request, text, wait, wait_for_line,
    wait_for_value,
};
use procmgr::{Config, EndedBy, Error, Id, Manager, Request};

fn ids(manager: &Manager) -> Vec<Id> {
    let listing = manager.list(None).expect("a list");
    assert_eq!(listing.total, listing.processes.len());
    listing.processes.iter().map(|status| status.id).collect()
}

fn scope(manager: &Manager, owner: &str) -> Manager {
    manager.scope(owner).expect("a scope")
}

#[test]
fn each_owner_sees_its_own() {
    let manager = open();
    let (red, blue) = (scope(&manager, "red"), scope(&manager, "blue"));
    let in_red = start(&red, FOREVER);
    let in_blue = start(&blue, FOREVER);
    let of_red = start_request(&manager, &Request::new(FOREVER).owner("red"));
    let nobodys = start(&manager, FOREVER);

    assert_eq!(ids(&red), [of_red.id(), in_red.id()]);
    assert_eq!(ids(&blue), [in_blue.id()]);
    let all = [nobodys.id(), of_red.id(), in_blue.id(), in_red.id()];
    assert_eq!(ids(&manager), all);
    let owner = |process: &procmgr::Process| {
        let status = process.status().expect("a status");
        status.owner().map(|owner| owner.to_os_string())
    };
    assert_eq!(owner(&in_red), Some("red".into()));
    assert_eq!(owner(&of_red), Some("red".into()));
    assert_eq!(owner(&nobodys), None);

    assert_eq!(red.get(of_red.id()).expect("it is red").id(), of_red.id());
    for foreign in [in_blue.id(), nobodys.id()] {
        match red.get(foreign) {
            Err(Error::NotFound { id }) => assert_eq!(id, foreign.to_string()),
            other => panic!("{other:?}"),
        }
    }
    // Another scope of the same owner sees the same.
    assert_eq!(ids(&scope(&manager, "red")), ids(&red));
    assert_eq!(ids(&scope(&manager, "green")), []);
    assert!(red.is_scope() && !manager.is_scope());
    assert_eq!(
        red.instance().expect("it has one"),
        manager.instance().expect("it has one")
    );
}

#[test]
fn a_scope_starts_for_its_owner_only() {
    let manager = Manager::open(Config::new().owner_variable("OWNER")).expect("a manager");
    let red = scope(&manager, "red");
    let process = start(&red, "echo \"$OWNER\"");
    wait(&process);
    assert_eq!(text(&process), "red\n");
    let same = start_request(&red, &Request::new(":").owner("red"));
    wait(&same);

    let error = red
        .start(&Request::new(":").owner("blue"))
        .expect_err("another owner");
    assert!(
        matches!(error, Error::Invalid { what: "owner", .. }),
        "{error:?}"
    );
    let message = error.to_string();
    assert!(
        message.contains("blue") && message.contains("red"),
        "{message}"
    );
    let error = red.scope("blue").expect_err("another owner");
    assert!(
        matches!(error, Error::Invalid { what: "owner", .. }),
        "{error:?}"
    );
    assert_eq!(ids(&scope(&red, "red")), ids(&red));
    assert_eq!(ids(&manager).len(), 2);
}

#[test]
fn closing_a_scope_ends_its_owners_processes_only() {
    let manager = open();
    let (red, also_red, blue) = (
        scope(&manager, "red"),
        scope(&manager, "red"),
        scope(&manager, "blue"),
    );
    let in_red = start(&red, "sleep 600 & echo ready; wait");
    let survived_red = start(&also_red, "sleep 600 & echo ok");
    let of_red = start_request(&manager, &Request::new(FOREVER).owner("red"));
    let in_blue = start(&blue, FOREVER);
    let nobodys = start(&manager, FOREVER);
    wait_for_line(&in_red, "ready");
    wait(&survived_red);

    red.close().expect("a close");
    for process in [&in_red, &of_red] {
        let status = process.status().expect("a status");
        assert_eq!(status.ended_by, EndedBy::Close);
    }
    for process in [&in_red, &of_red, &survived_red] {
        assert_eq!(carriers(process.id()), []);
    }
    for process in [&in_blue, &nobodys] {
        assert!(process.status().expect("a status").is_running());
    }
    // The closed scope starts nothing, and shows the ended processes.
    assert!(matches!(red.start(&Request::new(":")), Err(Error::Closed)));
    assert!(matches!(
        red.clone().start(&Request::new(":")),
        Err(Error::Closed)
    ));
    assert_eq!(ids(&red).len(), 3);
    red.close().expect("a close");
    // Processes of other owners run on.
    for manager in [&manager, &blue, &also_red, &scope(&manager, "red")] {
        wait(&start(manager, "exit 0"));
    }
}

#[test]
fn a_scope_that_goes_leaves_its_processes() {
    let manager = open();
    let red = scope(&manager, "red");
    let process = start(&red, FOREVER);
    drop(red);
    assert!(process.status().expect("a status").is_running());
    assert_eq!(ids(&scope(&manager, "red")), [process.id()]);
}

#[test]
fn closing_the_manager_closes_its_scopes() {
    let manager = open();
    let red = scope(&manager, "red");
    let process = start(&red, FOREVER);
    // A scope does not keep its manager open.
    drop(manager);
    assert_eq!(process.status().expect("a status").ended_by, EndedBy::Close);
    assert!(matches!(red.start(&Request::new(":")), Err(Error::Closed)));
    assert!(matches!(red.scope("red"), Err(Error::Closed)));
    assert_eq!(ids(&red), [process.id()]);
    red.close().expect("a close");
}

/// The cookie of a process stands for its owner, also after the record is dropped.
#[test]
fn kernel_a_closed_scope_ends_what_dropped_processes_left() {
    let manager = open();
    let (red, blue) = (scope(&manager, "red"), scope(&manager, "blue"));
    let left_by = |scope: &Manager| -> u32 {
        let process = start(scope, "setsid sleep 600 >/dev/null 2>&1 & echo left $!");
        let left = wait_for_value(&process, "left");
        wait(&process);
        scope.forget(process.id()).expect("it has ended");
        left
    };
    let [of_red, of_blue] = [&red, &blue].map(left_by);
    red.close().expect("nothing is left");
    assert!(!is_alive(of_red) && is_alive(of_blue));
    manager.close().expect("nothing is left");
    assert!(!is_alive(of_blue));
}
