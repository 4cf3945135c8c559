//! The ways to start commands that are compared.

pub(crate) mod face;
pub(crate) mod floor;
pub(crate) mod procmgr_rust;
pub(crate) mod standard;

use crate::protocol::BUFFER_BYTES;

/// Starts shell commands in one of the ways that are compared.
pub(crate) trait Contender: Sync {
    /// A command that was started.
    type Child: Send;

    /// Starts a shell command: `/dev/null` as standard input, one pipe for standard output and error.
    fn start(&self, command: &str) -> Self::Child;

    /// Waits until the output is read to the end and the status is known. It must be 0.
    fn finish(&self, child: Self::Child);

    /// Waits for output and takes it; 0 is the end.
    fn read(&self, child: &mut Self::Child, buffer: &mut [u8]) -> usize;

    /// Reads the output as it comes, to its end.
    fn follow(&self, child: &mut Self::Child) {
        let mut buffer = [0; BUFFER_BYTES];
        while self.read(child, &mut buffer) > 0 {}
    }

    /// Waits for the exit alone.
    fn wait(&self, child: &mut Self::Child);

    /// Takes a bounded text of the output and returns its length.
    fn snapshot(&self, _child: &Self::Child) -> usize {
        panic!("this contender keeps no output")
    }

    /// Many children at once. `watched`: with what it takes to be notified of their output and their end.
    fn crowd(&self, _watched: bool) -> Box<dyn Crowd> {
        panic!("this contender keeps no children")
    }
}

/// Many children that live at once.
pub(crate) trait Crowd {
    /// One more.
    fn start(&mut self, command: &str);
    /// Ends one, and waits for that.
    fn stop(&mut self);
    /// All of them with their states.
    fn list(&self) {}
    /// Ends all that are left, and waits for that.
    fn close(self: Box<Self>);
}
