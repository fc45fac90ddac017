use super::*;
use std::fs;

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-ledger-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("ledger")
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(self.file(), "XY", "hw-1").unwrap()
    }

    /// What a process reads that has just begun.
    fn all(&self) -> Result<Vec<String>, Status> {
        let unread = self.ledger().read().map_err(|error| error.status)?;
        Ok(texts(&unread))
    }

    /// With these lines, and how long it was after each of them.
    fn with(name: &str, lines: &[&str]) -> (Folder, Vec<usize>) {
        let folder = Folder::new(name);
        let mut ledger = folder.ledger();
        ledger.read().unwrap();
        let lengths = lines.iter().map(|line| {
            ledger.append(line.as_bytes()).unwrap();
            fs::metadata(folder.file()).unwrap().len() as usize
        });
        let lengths = lengths.collect();
        (folder, lengths)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn texts(unread: &Unread) -> Vec<String> {
    unread.lines.iter().map(|line| String::from_utf8(line.clone()).unwrap()).collect()
}

const LINES: [&str; 4] = ["one KEY-4f1d", "", "three, which is a little longer than the others are", "four"];

#[test]
fn lines_are_read_in_order_by_the_next_process_and_once_by_this_one() {
    let folder = Folder::new("order");
    let (mut ledger, mut other) = (folder.ledger(), folder.ledger());
    assert!(ledger.read().unwrap().lines.is_empty());
    assert!(!folder.file().exists(), "reading makes no file");
    for line in &LINES[..2] {
        ledger.append(line.as_bytes()).unwrap();
    }
    let unread = other.read().unwrap();
    assert_eq!((unread.anew, texts(&unread)), (true, vec![LINES[0].to_owned(), LINES[1].to_owned()]));
    other.append(LINES[2].as_bytes()).unwrap();
    let unread = ledger.read().unwrap();
    assert_eq!((unread.anew, texts(&unread)), (false, vec![LINES[2].to_owned()]), "its own are not unread");
    ledger.append(LINES[3].as_bytes()).unwrap();
    assert_eq!(folder.all().unwrap(), LINES);
    assert_eq!(other.read().unwrap().lines.len(), 1);
    assert_eq!((ledger.lines(), other.lines()), (4, 4));
    let bytes = fs::read(folder.file()).unwrap();
    assert!(!bytes.windows(8).any(|part| part == b"KEY-4f1d"), "nothing of it is seen on disk");
}

#[test]
fn whoever_reads_on_is_told_that_it_was_replaced() {
    let (folder, _) = Folder::with("replaced", &LINES);
    let (mut ledger, mut other) = (folder.ledger(), folder.ledger());
    ledger.read().unwrap();
    other.read().unwrap();
    ledger.replace(&[b"left".to_vec()]).unwrap();
    ledger.append(b"new").unwrap();
    let unread = other.read().unwrap();
    assert_eq!((unread.anew, texts(&unread)), (true, vec!["left".to_owned(), "new".to_owned()]));
    fs::remove_file(folder.file()).unwrap();
    let unread = other.read().unwrap();
    assert!(unread.anew && unread.lines.is_empty());
    other.append(b"after").unwrap();
    assert_eq!(folder.all().unwrap(), ["after"]);
}

#[test]
fn what_was_read_and_is_no_more_is_damage() {
    let (folder, lengths) = Folder::with("shorter", &LINES);
    let mut ledger = folder.ledger();
    ledger.read().unwrap();
    let whole = fs::read(folder.file()).unwrap();
    fs::write(folder.file(), &whole[..lengths[2]]).unwrap();
    assert_eq!(ledger.read().err().unwrap().status, Status::StorageDamaged);
    assert_eq!(folder.all().unwrap(), LINES[..3], "who comes anew can't know");
}

#[test]
fn cut_at_any_length_it_has_every_line_that_was_finished() {
    let (folder, lengths) = Folder::with("cut", &LINES);
    let whole = fs::read(folder.file()).unwrap();
    let mut accepted = 0;
    for length in 0..whole.len() {
        fs::write(folder.file(), &whole[..length]).unwrap();
        let finished = lengths.iter().filter(|end| **end <= length).count();
        if length < HEADER_LEN {
            assert_eq!(folder.all(), Err(Status::StorageDamaged), "at {length}");
            continue;
        }
        assert_eq!(folder.all().unwrap(), LINES[..finished], "at {length}");
        // And as a file that grew before its content arrived.
        let padded = [&whole[..length], &vec![0; whole.len() - length]].concat();
        fs::write(folder.file(), &padded).unwrap();
        let grown = folder.all();
        // A line may end in zeros of its own.
        let whole_there = lengths.iter().filter(|end| padded[..**end] == whole[..**end]).count();
        let is_last = finished == LINES.len() - 1;
        let unwritten = lengths.contains(&length) || length == HEADER_LEN;
        match grown {
            Ok(lines) => {
                assert_eq!(lines, LINES[..whole_there], "at {length}");
                accepted += 1;
            }
            Err(status) => {
                assert_eq!(status, Status::StorageDamaged, "at {length}");
                assert!(!unwritten, "nothing of the line has arrived at {length}");
            }
        }
        let arrived = lengths[LINES.len() - 2] + PREFIX_LEN;
        let end_is_missing = length <= whole.len() - SEAL_END_LEN;
        assert!(!(is_last && length >= arrived && end_is_missing) || folder.all().is_ok(), "at {length}");

        // The next line takes the place of the one that was never finished.
        fs::write(folder.file(), &whole[..length]).unwrap();
        let mut ledger = folder.ledger();
        ledger.read().unwrap();
        ledger.append(b"next").unwrap();
        assert_eq!(folder.all().unwrap(), [&LINES[..finished], &["next"]].concat(), "at {length}");
    }
    assert!(accepted > LINES.len());
}

#[test]
fn every_flipped_bit_is_found_and_the_file_stays_as_it_is() {
    let (folder, _) = Folder::with("flipped", &LINES);
    let whole = fs::read(folder.file()).unwrap();
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << bit;
            fs::write(folder.file(), &bytes).unwrap();
            let mark = MAGIC.len()..MAGIC.len() + MARK_LEN;
            let expected = if mark.contains(&place) { Status::StorageForeign } else { Status::StorageDamaged };
            assert_eq!(folder.all(), Err(expected), "bit {bit} of byte {place}");
            assert!(fs::read(folder.file()).unwrap() == bytes);
        }
    }
}

#[test]
fn lines_that_were_moved_or_taken_from_another_file_are_found() {
    let (folder, lengths) = Folder::with("moved", &["first", "other"]);
    let whole = fs::read(folder.file()).unwrap();
    let (first, second) = (&whole[HEADER_LEN..lengths[0]], &whole[lengths[0]..]);
    let (another, _) = Folder::with("moved-from", &["first", "other"]);
    let foreign = fs::read(another.file()).unwrap();
    // Even if somebody has put the lengths right.
    let moved = [&prefix(&whole[..HEADER_LEN], 0, (second.len() - PREFIX_LEN) as u32), &second[PREFIX_LEN..]].concat();
    for lines in
        [moved, [second, first].concat(), second.to_vec(), [first, first].concat(), foreign[HEADER_LEN..].to_vec()]
    {
        fs::write(folder.file(), [&whole[..HEADER_LEN], &lines].concat()).unwrap();
        assert_eq!(folder.all(), Err(Status::StorageDamaged));
    }
}

#[test]
fn a_file_of_another_device_or_product_is_told_from_a_damaged_one() {
    let (folder, _) = Folder::with("foreign", &LINES);
    for (product, hardware_id) in [("XY", "hw-2"), ("XZ", "hw-1")] {
        let mut ledger = Ledger::new(folder.file(), product, hardware_id).unwrap();
        let error = ledger.read().err().unwrap();
        assert_eq!(error.status, Status::StorageForeign);
        assert!(error.message().contains("ledger"), "{error}");
    }
}

#[test]
fn what_can_not_be_written_is_told_and_is_not_there() {
    let folder = Folder::new("none");
    let mut nowhere = Ledger::new(folder.0.join("missing/ledger"), "XY", "hw-1").unwrap();
    nowhere.read().unwrap();
    assert_eq!(nowhere.append(b"line").unwrap_err().status, Status::Storage);
    fs::create_dir(folder.file()).unwrap();
    assert_eq!(folder.all(), Err(Status::Storage));
    fs::remove_dir(folder.file()).unwrap();

    let mut ledger = folder.ledger();
    ledger.read().unwrap();
    let long = vec![b'x'; 1 << 20];
    for _ in 0..7 {
        ledger.append(&long).unwrap();
    }
    let error = ledger.check_room(long.len()).unwrap_err();
    assert_eq!(error.status, Status::QueueFull);
    assert!(error.message().contains("ledger"), "{error}");
    ledger.check_room(b"short".len()).unwrap();
    // What must be noted is, and is read by everybody.
    for _ in 0..20 {
        ledger.append(&long).unwrap();
    }
    assert_eq!(folder.all().unwrap().len(), 27);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = Folder::with("private", &["line"]);
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}
