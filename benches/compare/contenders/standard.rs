//! The standard library alone: one thread that starts, reads to the end and waits.

use std::io::{PipeReader, Read, pipe};
use std::process::{Child, Command, Stdio};

use super::Contender;
use crate::protocol::BUFFER_BYTES;

pub(crate) struct Standard;

impl Contender for Standard {
    type Child = (Child, PipeReader);

    fn start(&self, command: &str) -> Self::Child {
        let (reader, writer) = pipe().expect("a pipe");
        let child = Command::new("/bin/sh")
            .args(["-c", command])
            .stdin(Stdio::null())
            .stdout(writer.try_clone().expect("a descriptor"))
            .stderr(writer)
            .spawn()
            .expect("it starts");
        (child, reader)
    }

    fn finish(&self, (mut child, mut reader): Self::Child) {
        let mut buffer = [0; BUFFER_BYTES];
        while reader.read(&mut buffer).expect("a pipe can be read") > 0 {}
        assert!(child.wait().expect("it is ours").success());
    }

    fn read(&self, (_, reader): &mut Self::Child, buffer: &mut [u8]) -> usize {
        reader.read(buffer).expect("a pipe can be read")
    }

    fn wait(&self, (child, _): &mut Self::Child) {
        child.wait().expect("it is ours");
    }
}
