//! The signals that a host may send.

use std::fmt;

/// A signal for a process: those to stop, reload and pause commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGKILL: ends it at once; cannot be caught.
    Kill,
    /// SIGTERM: asks it to end.
    Terminate,
    /// SIGINT: what Ctrl-C sends.
    Interrupt,
    /// SIGHUP: its terminal was closed; many servers reload their configuration.
    Hangup,
    /// SIGQUIT: ends it with a core dump.
    Quit,
    /// SIGSTOP: pauses it; cannot be caught.
    Stop,
    /// SIGCONT: resumes it.
    Continue,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
}

impl Signal {
    /// All of them.
    pub const ALL: [Signal; 9] = [
        Signal::Kill,
        Signal::Terminate,
        Signal::Interrupt,
        Signal::Hangup,
        Signal::Quit,
        Signal::Stop,
        Signal::Continue,
        Signal::User1,
        Signal::User2,
    ];

    /// The name in lower case: `kill`, `terminate`, `interrupt`, `hangup`, `quit`, `stop`, `continue`,
    /// `user1`, `user2`.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Kill => "kill",
            Signal::Terminate => "terminate",
            Signal::Interrupt => "interrupt",
            Signal::Hangup => "hangup",
            Signal::Quit => "quit",
            Signal::Stop => "stop",
            Signal::Continue => "continue",
            Signal::User1 => "user1",
            Signal::User2 => "user2",
        }
    }

    /// The signal with this [`name`](Signal::name).
    pub fn from_name(name: &str) -> Option<Signal> {
        Signal::ALL.into_iter().find(|signal| signal.name() == name)
    }

    /// Whether sending it is a request to end.
    pub(crate) fn asks_to_end(self) -> bool {
        matches!(
            self,
            Signal::Kill | Signal::Terminate | Signal::Interrupt | Signal::Hangup | Signal::Quit
        )
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
