//! Checks that the repository uses the terms of POSIX and Rust: no word of the private language that it
//! once had, and threads and callers are things.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the words are looked for: directories and files.
const PLACES: &[&str] = &[
    "src",
    "tests",
    "include",
    "ffi-tests",
    "bindings",
    "benches",
    "examples",
    "docs",
    "fuzz",
    "README.md",
    "CHANGELOG.md",
];

/// Words that must not be used, alone or as a part of a name (`two_words`, `TwoWords`).
const WORDS: &[&str] = &[
    "porch", "desk", "seat", "lookout", "hush", "beside", "bell", "crew", "whoever", "nobody",
    "somebody", "anybody", "he", "his", "him",
];

/// Pairs of words that must not be used as one word or with a hyphen.
const PAIRS: &[&str] = &["stand-in", "stand_in", "standin"];

/// Texts in which a word is right: the public names, their value in texts, and the user of Unix.
const ALLOWED: &[&str] = &[
    "MGR_BY_NOBODY",
    "EndedBy::Nobody",
    "ByNobody",
    "\"nobody\"",
    "'nobody'",
    "`nobody`",
    "nobody:",
];

/// The definition of [`EndedBy::Nobody`](procmgr::EndedBy::Nobody), a line of this file.
const DEFINITION: (&str, &str) = ("src/status.rs", "    Nobody,");

/// Generated and downloaded files.
const SKIPPED: &[&str] = &[
    "target",
    "node_modules",
    "__pycache__",
    "corpus",
    "artifacts",
    "words.rs",
    "Cargo.lock",
];

#[test]
fn the_private_words_are_gone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for place in PLACES {
        list(&root.join(place), &mut files);
    }
    assert!(files.len() > 100, "only {} files found", files.len());
    let mut wrong = Vec::new();
    for file in files {
        // A file that is not text has no words.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let name = file.strip_prefix(root).expect("it is in the repository");
        for (index, line) in text.lines().enumerate() {
            if (name, line) == (Path::new(DEFINITION.0), DEFINITION.1) {
                continue;
            }
            let found = private_words(line);
            if !found.is_empty() {
                let place = format!("{}:{}", name.display(), index + 1);
                wrong.push(format!("{place}: {}: {}", found.join(", "), line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} lines use private words:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn words_are_found_in_names_and_texts() {
    for line in [
        "the front porch",
        "// Nobody waits.",
        "FloorBeside",
        "fn ring_bell()",
        "A STAND-IN",
        "struct StandIn;",
        "as he does",
    ] {
        assert_eq!(private_words(line).len(), 1, "{line}");
    }
    for line in [
        "the other thread",
        "MGR_BY_NOBODY",
        "EndedBy::Nobody",
        "besides",
        "This is here",
        "it stands in a list",
    ] {
        assert_eq!(private_words(line), Vec::<String>::new(), "{line}");
    }
}

/// The private words in a line.
fn private_words(line: &str) -> Vec<String> {
    let mut line = line.to_owned();
    for allowed in ALLOWED {
        line = line.replace(allowed, "");
    }
    let lower = line.to_lowercase();
    let pairs = PAIRS.iter().filter(|pair| lower.contains(**pair));
    let mut found: Vec<String> = pairs.map(|pair| (*pair).to_owned()).collect();
    let words = split(&line);
    found.extend(
        words
            .into_iter()
            .filter(|word| WORDS.contains(&word.as_str())),
    );
    found
}

/// The words of a line in lower case. A name with underscores or capitals is split.
fn split(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for character in line.chars() {
        let starts_word = after_lower && character.is_uppercase();
        if starts_word || !character.is_alphabetic() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_alphabetic(), words.last_mut()) {
            word.extend(character.to_lowercase());
        }
        after_lower = character.is_lowercase();
    }
    words
}

/// The files in a directory, or the file itself.
fn list(path: &Path, files: &mut Vec<PathBuf>) {
    let name = path.file_name().expect("it has a name").to_string_lossy();
    if name.starts_with('.') || SKIPPED.contains(&&*name) {
        return;
    }
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    for entry in fs::read_dir(path).expect("a directory can be read") {
        list(&entry.expect("an entry").path(), files);
    }
}
