//! The store under the sequences of writes and reads of a fuzzer, compared with a plain list of bytes.

use std::io;

use super::store::{Filled, Store};
use super::text;

/// Runs the sequence that the bytes encode.
pub fn fuzz_store(data: &[u8]) {
    let [head, tail, lossless, max_line, rest @ ..] = data else {
        return;
    };
    let (head, tail) = (usize::from(*head), usize::from(*tail));
    let lossless = lossless % 2 == 1;
    let mut store = Store::new(head, tail, lossless);
    let mut model: Vec<u8> = Vec::new();
    let mut read_to = 0;
    for step in rest.chunks(3) {
        let &[action, a, b] = step else { break };
        let amount = usize::from(a) * 16;
        match action % 4 {
            0 | 1 => {
                let bytes: Vec<u8> = (0..amount).map(|i| b.wrapping_add(i as u8)).collect();
                let mut left = bytes.as_slice();
                let filled = store.fill(action % 8 == 1, |pieces| {
                    let mut count = 0;
                    for piece in pieces {
                        let some = piece.len().min(left.len());
                        piece[..some].copy_from_slice(&left[..some]);
                        left = &left[some..];
                        count += some;
                    }
                    Ok(count)
                });
                match filled {
                    Ok(Filled::Bytes(count)) => model.extend(&bytes[..count]),
                    Ok(Filled::Full) => assert!(lossless && model.len() - read_to >= tail),
                    Err(error) => panic!("{error}"),
                }
            }
            2 => {
                let cursor = model.len().saturating_sub(amount);
                let found = store.find(cursor as u64);
                let mut buffer = vec![0; usize::from(b)];
                let count = store.copy(found.position, &mut buffer);
                let position = found.position as usize;
                assert_eq!(found.lost as usize, position - cursor);
                assert_eq!(buffer[..count], model[position..position + count]);
                // The bytes that were promised are kept.
                let is_kept = cursor < head || cursor + tail >= model.len();
                assert!(found.lost == 0 || !is_kept);
                assert!(found.lost == 0 || !lossless || cursor < read_to);
                store.mark_read((position + count) as u64);
                read_to = read_to.max(position + count);
            }
            _ => {
                let failed = store.fill(false, |_| Err(io::ErrorKind::WouldBlock.into()));
                assert!(matches!(failed, Err(_) | Ok(Filled::Full)));
            }
        }
        assert_eq!(store.total(), model.len() as u64);
    }
    let kept = store.kept();
    let gap = model.len() - kept.bytes.len();
    assert_eq!(gap, model.len().saturating_sub(head + tail));
    let snapshot = text::render(kept, usize::from(*max_line));
    match snapshot.truncation {
        None => assert_eq!(snapshot.text, String::from_utf8_lossy(&model)),
        Some(numbers) => {
            assert_eq!(numbers.original_bytes, model.len() as u64);
            assert_eq!(numbers.retained_bytes, snapshot.text.len() as u64);
            assert!(numbers.omitted_bytes as usize >= gap);
        }
    }
    if *max_line > 0 {
        let longest = snapshot.text.split('\n').map(str::len).max();
        // The marker for omitted bytes is a line of its own.
        assert!(longest <= Some(usize::from(*max_line).max(40)));
    }
}
