//! Checks that `include/procmgr.h` is what the sources generate.
//!
//! After a change of the C interface, `PROCMGR_BLESS=1 cargo test -p procmgr-header` writes it.

use std::fs;
use std::path::Path;

/// The modules of the C interface that declare something, in the order of the header.
const SOURCES: [&str; 11] = [
    "codes", "types", "manager", "config", "request", "start", "keys", "status", "output", "stop",
    "events",
];

/// The repository.
fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).expect("it is two levels deep")
}

#[test]
fn the_header_is_what_the_sources_say() {
    let root = root();
    let path = root.join("include/procmgr.h");
    let generated = generate(root);
    if std::env::var_os("PROCMGR_BLESS").is_some() {
        fs::write(&path, &generated).expect("the header can be written");
    }
    let committed = fs::read_to_string(&path).expect("the header can be read");
    // Line by line, so that a failure shows the first difference and not two whole headers.
    for (number, (is, shall)) in committed.lines().zip(generated.lines()).enumerate() {
        assert_eq!(is, shall, "line {} of include/procmgr.h", number + 1);
    }
    assert_eq!(committed, generated, "PROCMGR_BLESS=1 writes it");
}

#[test]
fn the_table_of_contents_lists_each_function_in_its_order() {
    let root = root();
    let header = fs::read_to_string(root.join("include/procmgr.h")).expect("the header is there");
    let listed: Vec<&str> = contents(&header)
        .into_iter()
        .flat_map(|group| group.1)
        .collect();
    assert!(listed.len() > 50, "only {} functions", listed.len());
    assert_eq!(listed, declared(&header));
}

#[test]
fn the_header_holds_the_example_and_the_version() {
    let root = root();
    let header = fs::read_to_string(root.join("include/procmgr.h")).expect("the header is there");
    let example = fs::read_to_string(root.join("examples/c/run.c")).expect("the example is there");
    // A comment cannot hold a comment of the same kind.
    let example = example.replace("/* ", "// ").replace(" */\n", "\n");
    let shown: String = example
        .lines()
        .map(|line| format!(" *     {line}").trim_end().to_owned() + "\n")
        .collect();
    assert!(
        header.contains(&shown),
        "the example in the header is not examples/c/run.c"
    );
    let version = env!("CARGO_PKG_VERSION");
    assert!(header.contains(&format!("#define MGR_VERSION \"{version}\"\n")));
    let numbers: Vec<i32> = version
        .split('.')
        .map(|part| part.parse().expect("a number"))
        .collect();
    let number = numbers[0] * 1_000_000 + numbers[1] * 1_000 + numbers[2];
    assert_eq!(procmgr::ffi::mgr_version_number(), number);
}

#[test]
fn the_header_has_no_names_but_ours() {
    let root = root();
    let header = fs::read_to_string(root.join("include/procmgr.h")).expect("the header is there");
    let mut code = String::new();
    let mut rest = header.as_str();
    // Remove the comments.
    while let Some(at) = rest.find("/*") {
        code += &rest[..at];
        rest = &rest[at + rest[at..].find("*/").expect("a comment ends") + 2..];
    }
    code += rest;
    for line in code.lines() {
        let mut words = line.split_whitespace();
        let name = match (words.next(), words.next()) {
            (Some("#define"), Some(name)) => name,
            (Some("typedef"), _) => line
                .trim_end_matches([';', '{'])
                .split_whitespace()
                .last()
                .unwrap_or(""),
            _ if line.contains('(') && line.starts_with(char::is_alphabetic) => {
                let before = line.split('(').next().unwrap_or("");
                before.rsplit([' ', '*']).next().unwrap_or("")
            }
            _ => continue,
        };
        let ours = name.starts_with("mgr_") || name.starts_with("MGR_") || name == "PROCMGR_H";
        assert!(ours, "{name} in: {line}");
    }
}

fn generate(root: &Path) -> String {
    let config =
        cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("the settings can be read");
    let mut header = Vec::new();
    let mut builder = cbindgen::Builder::new().with_config(config);
    for file in SOURCES {
        builder = builder.with_src(root.join(format!("src/ffi/{file}.rs")));
    }
    builder
        .generate()
        .expect("a header can be made")
        .write(&mut header);
    with_headings(&for_c(&String::from_utf8(header).expect("it is text")))
}

/// The groups of the table of contents: the title and the functions.
fn contents(header: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, rest) = header
        .split_once(" * Contents\n * --------\n *\n")
        .expect("there is a table of contents");
    let (table, _) = rest.split_once("\n *\n *\n").expect("it ends");
    let groups = table.split("\n *\n").map(|group| {
        let mut lines = group.lines().map(|line| line.trim_start_matches(" * "));
        let title = lines.next().and_then(|title| title.strip_suffix(':'));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        (title.expect("a group has a title"), names.collect())
    });
    groups.collect()
}

/// The functions that the header declares, in their order.
fn declared(header: &str) -> Vec<&str> {
    header.lines().filter_map(function_of).collect()
}

/// The function that a line declares.
fn function_of(line: &str) -> Option<&str> {
    let is_declaration = line.starts_with("int32_t ") || line.starts_with("const char *");
    let (before, _) = line.split_once('(').filter(|_| is_declaration)?;
    before.rsplit([' ', '*']).next()
}

/// Puts the title of each group before its first function.
fn with_headings(header: &str) -> String {
    let groups = contents(header);
    let mut lines: Vec<String> = header.lines().map(str::to_owned).collect();
    for (title, names) in &groups {
        let first = names.first().copied();
        let at = lines
            .iter()
            .position(|line| first.is_some() && function_of(line) == first);
        let at = at.unwrap_or_else(|| panic!("{first:?} is not declared"));
        let comment = lines[..at]
            .iter()
            .rposition(|line| line == "/**")
            .expect("a function has a comment");
        let heading = format!("/*\n * {title}\n * {}\n */\n", "-".repeat(title.len()));
        lines.insert(comment, heading);
    }
    lines.join("\n") + "\n"
}

/// Removes the "Safety" sections, which are for Rust: the overview of the header says the same for C.
/// Puts comments of one line on one line.
fn for_c(header: &str) -> String {
    let mut result: Vec<String> = Vec::new();
    let mut skipping = false;
    for line in header.lines() {
        let text = line.trim_start();
        if text == "* # Safety" {
            skipping = true;
            if result.last().is_some_and(|last| last.trim() == "*") {
                result.pop();
            }
        }
        skipping &= text != "*/";
        if skipping {
            continue;
        }
        let begins = |back: usize| result.len().checked_sub(back).map(|at| result[at].clone());
        match (text, begins(2), begins(1)) {
            ("*/", Some(open), Some(only)) if open.trim() == "/**" => {
                result.truncate(result.len() - 2);
                let indent = &open[..open.len() - 3];
                let only = only.trim_start().trim_start_matches('*');
                result.push(format!("{indent}/**{only} */"));
            }
            _ => result.push(line.trim_end().to_owned()),
        }
    }
    result.join("\n") + "\n"
}
