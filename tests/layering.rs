//! Checks the structure of the sources: each module uses only modules of lower layers, and `unsafe`
//! stays in its modules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The layer of each module at the top of `src`.
const LAYERS: &[(u8, &[&str])] = &[
    (0, &["error", "id", "signal", "status", "sync", "time"]),
    (1, &["sys"]),
    (
        2,
        &[
            "config",
            "cookie",
            "directory",
            "environment",
            "exit",
            "host",
            "slots",
            "output",
            "request",
        ],
    ),
    (3, &["reader", "reaper", "spawn", "sweep", "threads"]),
    (4, &["process"]),
    (5, &["events", "expiry", "keys", "manager"]),
    (6, &["ffi", "model"]),
];

/// Modules that must not use each other although their layers allow it. The end of the output and the
/// exit of the leader are different facts, so the modules of one know nothing of the other.
const SEPARATE: &[(&str, &str)] = &[
    ("reader", "reaper"),
    ("reaper", "reader"),
    ("output", "exit"),
    ("exit", "output"),
    ("output", "request"),
    ("exit", "request"),
    ("config", "exit"),
];

/// The directories whose modules use one another without a circle.
const ONE_DIRECTION: &[&str] = &["ffi", "manager"];

/// The modules that may hold `unsafe` code.
const UNSAFE: &[&str] = &["ffi", "sys"];

#[test]
fn each_module_uses_only_lower_layers() {
    let layers: BTreeMap<&str, u8> = LAYERS
        .iter()
        .flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, *layer)))
        .collect();
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        let own = *layers
            .get(module.as_str())
            .unwrap_or_else(|| panic!("module {module} has no layer: add it to LAYERS"));
        for (number, line) in text.lines().enumerate() {
            for used in used_modules(line) {
                let Some(layer) = layers.get(used) else {
                    continue;
                };
                // Within these layers, modules may use each other.
                let neighbour = own == *layer && matches!(own, 0 | 2 | 5);
                let separate = SEPARATE.contains(&(module.as_str(), used));
                if used != module && (*layer > own || (*layer == own && !neighbour) || separate) {
                    wrong.push(format!(
                        "{}:{}: {module} uses {used}",
                        file.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_c_face_uses_the_public_rust_api_only() {
    let mut wrong = Vec::new();
    for (module, file, text) in sources() {
        if module != "ffi" {
            continue;
        }
        for line in text.lines() {
            let private = used_modules(line)
                .any(|used| used != "ffi" && used.starts_with(char::is_lowercase));
            if private {
                wrong.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_of_one_directory_use_one_another_in_one_direction() {
    for directory in ONE_DIRECTION {
        let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (module, file, text) in sources() {
            if module != *directory || file.ends_with("mod.rs") {
                continue;
            }
            let name = file.file_stem().expect("it has a name");
            let code = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or(""));
            let used = code.flat_map(|line| names_behind("super::", line).map(str::to_owned));
            uses.insert(name.to_string_lossy().into_owned(), used.collect());
        }
        // Without a circle, there is always a module that uses none of those that are left.
        while !uses.is_empty() {
            let free = uses.iter().find(|(name, used)| {
                used.iter()
                    .all(|used| used == *name || !uses.contains_key(used))
            });
            let free = free.map(|(name, _)| name.clone());
            let free = free.unwrap_or_else(|| panic!("a circle in {directory}: {uses:?}"));
            uses.remove(&free);
        }
    }
}

#[test]
fn unsafe_code_and_libc_stay_in_their_modules() {
    for (module, file, text) in sources() {
        for line in text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            let is_unsafe = [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "allow(unsafe_code",
            ]
            .iter()
            .any(|word| line.contains(word));
            assert!(
                !is_unsafe || UNSAFE.contains(&module.as_str()),
                "{}: {line}",
                file.display()
            );
            assert!(
                !line.contains("libc::") || module == "sys",
                "{}: {line}",
                file.display()
            );
        }
    }
}

/// The modules that a line names after `crate::`, in a path or in braces.
fn used_modules(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    names_behind("crate::", code)
}

/// The first names after a prefix, in a path or in braces.
fn names_behind<'a>(prefix: &str, code: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(prefix).flat_map(|(at, word)| {
        let rest = &code[at + word.len()..];
        let names = rest
            .strip_prefix('{')
            .map_or(rest, |list| list.split('}').next().unwrap_or(list));
        let single = !rest.starts_with('{');
        names
            .split(',')
            .take(if single { 1 } else { usize::MAX })
            .map(|name| {
                let name = name.trim();
                let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
                &name[..end.unwrap_or(name.len())]
            })
    })
}

/// Every source file but `lib.rs`, with the name of its module at the top.
fn sources() -> Vec<(String, PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("src can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    assert!(files.len() > 10, "only {} sources found", files.len());
    files
        .into_iter()
        .filter(|file| !file.ends_with("lib.rs"))
        .map(|file| {
            let inside = file.strip_prefix(&root).expect("it is in src");
            let module = inside.iter().next().expect("it has a name");
            let module = module.to_string_lossy().trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&file).expect("a source can be read");
            (module, file, text)
        })
        .collect()
}
