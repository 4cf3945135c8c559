//! What it costs to start commands with procmgr, and with the alternatives: `cargo bench -p procmgr-compare`.
//!
//! One run measures all contenders turn by turn, so other load on the machine affects all of them. Compare ratios: absolute
//! numbers change with the machine and with its load. The last line sums them up.
//!
//! Arguments after `--`: a part of the names of the wanted rows; `--quick` for a tenth of the rounds. Contenders whose
//! language is not installed are left out, and named.
//!
//! - `PROCMGR_BENCH_SAVE=1` writes the table to `docs/measurements.md` and the chart to `docs/measurements.svg`.
//! - `PROCMGR_BENCH_DRAIN_BYTES` is how much each contender drains in the two rows about that (4 GiB).
//!
//! The contenders are processes of their own. This program is most of them, and the children of some rows too: its first
//! argument selects which.

mod chart;
mod child;
mod clock;
mod contenders;
mod machine;
mod peers;
mod protocol;
mod refuse;
mod rows;
mod table;

use std::fs;
use std::path::Path;

use contenders::face::ThroughC;
use contenders::floor::{Floor, Loop};
use contenders::procmgr_rust::ThroughRust;
use contenders::standard::Standard;
use machine::Quiet;
use peers::Programs;
use protocol::serve;
use rows::Bench;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["contender", kind] => contend(kind),
        ["child-stamps", count] => child::write_stamps(count.parse().expect("a number")),
        ["child-yes", bytes] => child::write_yes(bytes.parse().expect("a number")),
        ["child-exit", path] => child::exit_with_stamp(path),
        // What cargo bench adds, and cargo test does not.
        _ if arguments.contains(&"--bench") => compare(&arguments),
        _ => println!("measures nothing in a test: run `cargo bench -p procmgr-compare`"),
    }
}

fn contend(kind: &str) {
    match kind {
        "rust" => serve(&ThroughRust::new()),
        "c" => serve(&ThroughC::new()),
        "floor" => serve(&Floor(Loop::Blocking)),
        "rust-refused" => {
            refuse::refuse_pidfd_open();
            serve(&ThroughRust::new());
        }
        "floor-yielding" => serve(&Floor(Loop::Yielding)),
        "std" => serve(&Standard),
        other => panic!("there is no contender {other}"),
    }
}

fn compare(arguments: &[&str]) {
    clock::raise_descriptor_limit();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut bench = Bench {
        programs: Programs::find(),
        filter: filter.copied().unwrap_or_default().into(),
        quick: arguments.contains(&"--quick"),
        quiet: Quiet::new(arguments.contains(&"--quick")),
        rows: Vec::new(),
    };
    let machine = machine::describe();
    println!("{machine}");
    for missing in &bench.programs.missing {
        println!("Left out: {missing}");
    }
    bench.run();
    let machine = format!("{machine}- {}\n", bench.quiet.describe());
    if bench.rows.is_empty() {
        println!("No row has a name that contains \"{}\".", bench.filter);
        std::process::exit(1);
    }
    let summary = rows::summary(&bench.rows);
    println!("{summary}");
    if std::env::var_os("PROCMGR_BENCH_SAVE").is_some() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let document = machine::document(&machine, &summary, &table::render(&bench.rows));
        fs::write(docs.join("measurements.md"), document).expect("docs can be written");
        let chart = chart::draw(&bench.rows, &machine);
        fs::write(docs.join("measurements.svg"), chart).expect("docs can be written");
    }
}
