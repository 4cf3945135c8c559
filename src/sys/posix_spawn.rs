//! Starting a process that inherits nothing it should not, without a fork.
//!
//! glibc's `posix_spawn` shares the parent's memory until the child has executed, so a start costs the same in a host of
//! any size; it can give the child a session of its own, an empty mask, default dispositions, a directory, and close
//! every descriptor from a number on. What it can depends on the version, so the newer parts are looked up at run time.

use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::OnceLock;

use super::child::Pid;
use super::texts::{Pointers, Texts};

type Actions = libc::posix_spawn_file_actions_t;
type AddDirectory = unsafe extern "C" fn(*mut Actions, *const c_char) -> c_int;
type AddCloseFrom = unsafe extern "C" fn(*mut Actions, c_int) -> c_int;

/// What to execute, and with what.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    /// A path; one that is not absolute begins at `directory`.
    pub(crate) program: &'a CStr,
    pub(crate) arguments: &'a Texts,
    /// `NAME=VALUE` each.
    pub(crate) environment: [&'a Texts; 2],
    pub(crate) directory: Option<&'a CStr>,
    /// In a session of its own, and not only in a group of its own in the host's session.
    pub(crate) session: bool,
    pub(crate) stdout: BorrowedFd<'a>,
    pub(crate) stderr: BorrowedFd<'a>,
}

/// A C library that can do all of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PosixSpawn {
    add_directory: AddDirectory,
    add_close_from: AddCloseFrom,
}

impl PosixSpawn {
    /// Looks for what this needs; `None` where the C library lacks it (before glibc 2.34, and other libraries).
    pub(crate) fn available() -> Option<Self> {
        static FOUND: OnceLock<Option<PosixSpawn>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            if !cfg!(all(target_os = "linux", target_env = "gnu")) {
                return None;
            }
            let directory = symbol(c"posix_spawn_file_actions_addchdir_np")?;
            let close_from = symbol(c"posix_spawn_file_actions_addclosefrom_np")?;
            // SAFETY: the C library's documentation gives the functions of these names these types.
            unsafe {
                Some(PosixSpawn {
                    add_directory: std::mem::transmute::<*mut libc::c_void, AddDirectory>(
                        directory,
                    ),
                    add_close_from: std::mem::transmute::<*mut libc::c_void, AddCloseFrom>(
                        close_from,
                    ),
                })
            }
        })
    }

    /// What the child of this image, and of any other with the same outputs and directory, does at its beginning: `/dev/null` is its
    /// standard input, and it closes every descriptor but 0, 1 and 2.
    pub(crate) fn prepare(self, image: &Image<'_>) -> io::Result<Steps> {
        let mut actions = FileActions::new()?;
        actions.open_null(0)?;
        actions.copy(image.stdout, 1)?;
        actions.copy(image.stderr, 2)?;
        if let Some(directory) = image.directory {
            // SAFETY: the actions are initialised; the text is copied.
            done(unsafe { (self.add_directory)(&mut actions.0, directory.as_ptr()) })?;
        }
        // SAFETY: the actions are initialised.
        done(unsafe { (self.add_close_from)(&mut actions.0, 3) })?;
        Ok(Steps {
            outputs: image.outputs(),
            directory: image.directory.map(CStr::to_owned),
            actions,
        })
    }

    /// Starts the image as the leader of a group of its own, with an empty signal mask and every signal at its default. The steps are
    /// those for this image.
    pub(crate) fn spawn(self, image: &Image<'_>, steps: &Steps) -> io::Result<Pid> {
        let mut attributes = Attributes::new()?;
        attributes.clean(image.session)?;

        let arguments = Pointers::new(&[image.arguments]);
        let environment = Pointers::new(&image.environment);
        let mut pid = 0;
        // SAFETY: all texts end with a NUL and outlive the call, both arrays end with NULL, the actions and attributes
        // are initialised. The arrays are not written, although their type allows it.
        done(unsafe {
            libc::posix_spawn(
                &mut pid,
                image.program.as_ptr(),
                &steps.actions.0,
                &attributes.0,
                arguments.as_ptr().cast(),
                environment.as_ptr().cast(),
            )
        })?;
        Ok(pid)
    }
}

impl Image<'_> {
    fn outputs(&self) -> [c_int; 2] {
        [self.stdout.as_raw_fd(), self.stderr.as_raw_fd()]
    }
}

/// What a child does before it executes. To put it together takes the C library 2 µs: it asks for the limit of descriptors in each
/// step.
pub(crate) struct Steps {
    /// The numbers that its standard output and error have in the host.
    outputs: [c_int; 2],
    directory: Option<CString>,
    actions: FileActions,
}

impl Steps {
    /// Whether the child of this image is to do these.
    pub(crate) fn are_for(&self, image: &Image<'_>) -> bool {
        self.outputs == image.outputs() && self.directory.as_deref() == image.directory
    }
}

/// The address of a function of this program or its libraries.
fn symbol(name: &CStr) -> Option<*mut libc::c_void> {
    // SAFETY: the name ends with a NUL; dlsym only looks.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// These functions give the error instead of setting `errno`.
fn done(error: c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

struct FileActions(Actions);

// SAFETY: the memory that it points to is its own, and no thread's in particular.
unsafe impl Send for FileActions {}

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the function initialises what it is given, if it returns 0.
        done(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: it returned 0. The type holds a pointer to memory of its own, so it may be moved.
        Ok(FileActions(unsafe { actions.assume_init() }))
    }

    fn open_null(&mut self, descriptor: c_int) -> io::Result<()> {
        let path = c"/dev/null".as_ptr();
        // SAFETY: the actions are initialised; the path is copied.
        done(unsafe {
            libc::posix_spawn_file_actions_addopen(&mut self.0, descriptor, path, libc::O_RDONLY, 0)
        })
    }

    fn copy(&mut self, from: BorrowedFd<'_>, to: c_int) -> io::Result<()> {
        // SAFETY: the actions are initialised.
        done(unsafe { libc::posix_spawn_file_actions_adddup2(&mut self.0, from.as_raw_fd(), to) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: they are initialised and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the function initialises what it is given, if it returns 0.
        done(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: it returned 0, and the type is plain data.
        Ok(Attributes(unsafe { attributes.assume_init() }))
    }

    /// A session or a group of its own, an empty mask, every signal at its default.
    fn clean(&mut self, session: bool) -> io::Result<()> {
        // A group number of 0, which the attributes begin with, is that of the child.
        let own = match session {
            true => libc::c_int::from(libc::POSIX_SPAWN_SETSID),
            false => libc::POSIX_SPAWN_SETPGROUP,
        };
        let flags = own | libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
        let flags = libc::c_short::try_from(flags).unwrap_or_default();
        let mut none = MaybeUninit::uninit();
        let mut all = MaybeUninit::uninit();
        // SAFETY: the sets are initialised by the first two calls before the others read them; the attributes are
        // initialised.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigfillset(all.as_mut_ptr());
            done(libc::posix_spawnattr_setsigmask(&mut self.0, none.as_ptr()))?;
            done(libc::posix_spawnattr_setsigdefault(
                &mut self.0,
                all.as_ptr(),
            ))?;
            done(libc::posix_spawnattr_setflags(&mut self.0, flags))
        }
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: they are initialised and not used again.
        unsafe { libc::posix_spawnattr_destroy(&mut self.0) };
    }
}
