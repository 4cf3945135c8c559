//! The program of docs/hosts.md in Rust: runs a command, prints its output as it comes, and prints how it ended.

use std::io;

use procmgr::{Config, Manager, Request, Stream};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let command = std::env::args().nth(1);
    let command = command.as_deref().unwrap_or("echo hello; exit 3");

    let manager = Manager::open(Config::new())?;
    // Lossless: the command waits for this program instead of overwriting what it has not read.
    let process = manager.start(&Request::new(command).lossless(true))?;
    io::copy(&mut process.follow(Stream::Stdout), &mut io::stdout())?;
    let status = process.wait()?;
    println!("exit code {}", status.exit_code().unwrap_or(-1));
    manager.close()?;
    Ok(())
}
