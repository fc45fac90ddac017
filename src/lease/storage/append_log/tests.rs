use super::*;
use std::fs;

/// A temporary folder for one test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("floatlease-append-log-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("log")
    }

    fn log(&self) -> AppendLog {
        AppendLog::new(self.file(), "XY", "hw-1").unwrap()
    }

    /// Returns the lines that a new process reads.
    fn all(&self) -> Result<Vec<String>, Status> {
        let unread = self.log().read().map_err(|error| error.status)?;
        Ok(texts(&unread))
    }

    /// Makes a folder with a log of these lines. Returns also the length of the file after each of them.
    fn with(name: &str, lines: &[&str]) -> (Folder, Vec<usize>) {
        let folder = Folder::new(name);
        let mut log = folder.log();
        log.read().unwrap();
        let lengths = lines.iter().map(|line| {
            log.append(line.as_bytes()).unwrap();
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
fn lines_are_read_in_order_and_once_by_each_process() {
    let folder = Folder::new("order");
    let (mut log, mut other) = (folder.log(), folder.log());
    assert!(log.read().unwrap().lines.is_empty());
    assert!(!folder.file().exists(), "reading makes no file");
    for line in &LINES[..2] {
        log.append(line.as_bytes()).unwrap();
    }
    let unread = other.read().unwrap();
    assert_eq!((unread.was_replaced, texts(&unread)), (true, vec![LINES[0].to_owned(), LINES[1].to_owned()]));
    other.append(LINES[2].as_bytes()).unwrap();
    let unread = log.read().unwrap();
    assert_eq!(
        (unread.was_replaced, texts(&unread)),
        (false, vec![LINES[2].to_owned()]),
        "lines that this process has added are not unread"
    );
    log.append(LINES[3].as_bytes()).unwrap();
    assert_eq!(folder.all().unwrap(), LINES);
    assert_eq!(other.read().unwrap().lines.len(), 1);
    assert_eq!((log.lines, other.lines), (4, 4));
    let bytes = fs::read(folder.file()).unwrap();
    assert!(!bytes.windows(8).any(|part| part == b"KEY-4f1d"), "the content is encrypted on disk");
}

#[test]
fn read_reports_that_file_was_replaced() {
    let (folder, _) = Folder::with("replaced", &LINES);
    let (mut log, mut other) = (folder.log(), folder.log());
    log.read().unwrap();
    other.read().unwrap();
    log.replace(&[b"left".to_vec()]).unwrap();
    log.append(b"new").unwrap();
    let unread = other.read().unwrap();
    assert_eq!((unread.was_replaced, texts(&unread)), (true, vec!["left".to_owned(), "new".to_owned()]));
    fs::remove_file(folder.file()).unwrap();
    let unread = other.read().unwrap();
    assert!(unread.was_replaced && unread.lines.is_empty());
    other.append(b"after").unwrap();
    assert_eq!(folder.all().unwrap(), ["after"]);
}

#[test]
fn file_that_became_shorter_is_damaged() {
    let (folder, lengths) = Folder::with("shorter", &LINES);
    let mut log = folder.log();
    log.read().unwrap();
    let whole = fs::read(folder.file()).unwrap();
    fs::write(folder.file(), &whole[..lengths[2]]).unwrap();
    assert_eq!(log.read().err().unwrap().status, Status::StorageDamaged);
    assert_eq!(folder.all().unwrap(), LINES[..3], "a new process can't notice it");
}

#[test]
fn file_cut_at_any_length_has_every_finished_line() {
    let (folder, lengths) = Folder::with("cut", &LINES);
    let whole = fs::read(folder.file()).unwrap();
    for length in 0..whole.len() {
        fs::write(folder.file(), &whole[..length]).unwrap();
        let finished = lengths.iter().filter(|end| **end <= length).count();
        if length < HEADER_LEN {
            assert_eq!(folder.all(), Err(Status::StorageDamaged), "at {length}");
            continue;
        }
        assert_eq!(folder.all().unwrap(), LINES[..finished], "at {length}");
        // The next line replaces the unfinished one.
        fs::write(folder.file(), &whole[..length]).unwrap();
        let mut log = folder.log();
        log.read().unwrap();
        log.append(b"next").unwrap();
        assert_eq!(folder.all().unwrap(), [&LINES[..finished], &["next"]].concat(), "at {length}");
    }
}

/// Returns pseudo-random bytes, the same for the same number.
fn garbage(number: usize, length: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// After a power cut the file may have its new length, while any block of the last line is not on the disk.
#[test]
fn last_line_with_lost_blocks_costs_no_other_line() {
    let (folder, lengths) = Folder::with("lost-last", &LINES);
    let whole = fs::read(folder.file()).unwrap();
    for (number, end) in lengths.iter().enumerate().skip(1) {
        let start = lengths[number - 1];
        for from in start..*end {
            for to in (from + 1..*end).step_by(17).chain([*end]) {
                for filling in [vec![0; to - from], garbage(from * 1000 + to, to - from)] {
                    let bytes = [&whole[..from], &filling, &whole[to..*end]].concat();
                    // The filling may happen to be what was written.
                    let is_whole = usize::from(bytes == whole[..*end]);
                    for beyond in [0, 60] {
                        fs::write(folder.file(), [&bytes[..], &vec![0; beyond]].concat()).unwrap();
                        let expected = &LINES[..number + is_whole];
                        assert_eq!(folder.all().unwrap(), expected, "line {number}, {from}..{to}, {beyond} beyond");
                    }
                }
            }
        }
        let mut log = folder.log();
        log.read().unwrap();
        log.append(b"next").unwrap();
        assert_eq!(folder.all().unwrap().last().unwrap(), "next");
    }
}

#[test]
fn first_line_is_written_with_its_header() {
    let folder = Folder::new("first");
    let mut log = folder.log();
    log.read().unwrap();
    log.replace(&[]).unwrap();
    let header_of = || fs::read(folder.file()).unwrap()[..HEADER_LEN].to_vec();
    let before = header_of();
    let mut other = folder.log();
    other.read().unwrap();
    other.append(b"one").unwrap();
    assert_ne!(header_of(), before);
    assert_eq!(texts(&log.read().unwrap()), ["one"]);
    let whole = fs::read(folder.file()).unwrap();
    for place in HEADER_LEN..whole.len() {
        fs::write(folder.file(), [&whole[..place], &garbage(place, whole.len() - place)].concat()).unwrap();
        assert_eq!(folder.all(), Err(Status::StorageDamaged), "{place}");
    }
}

#[test]
fn lost_block_before_the_last_line_is_damage() {
    let lines: Vec<String> = (0..200).map(|number| format!("consumption {number}")).collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (folder, lengths) = Folder::with("lost-block", &texts);
    let whole = fs::read(folder.file()).unwrap();
    let before_last = lengths[lengths.len() - 2];
    for start in (HEADER_LEN..before_last).step_by(907) {
        let end = (start + 4096).min(before_last);
        for filling in [vec![0; end - start], garbage(start, end - start)] {
            let bytes = [&whole[..start], &filling, &whole[end..]].concat();
            fs::write(folder.file(), &bytes).unwrap();
            assert_eq!(folder.all(), Err(Status::StorageDamaged), "{start}..{end}");
            assert!(fs::read(folder.file()).unwrap() == bytes);
        }
    }
}

#[test]
fn flipped_bit_before_the_last_line_is_damage() {
    let (folder, lengths) = Folder::with("flipped", &LINES);
    let whole = fs::read(folder.file()).unwrap();
    for place in 0..whole.len() {
        for bit in 0..8 {
            let mut bytes = whole.clone();
            bytes[place] ^= 1 << bit;
            fs::write(folder.file(), &bytes).unwrap();
            let key_id = MAGIC.len()..MAGIC.len() + KEY_ID_LEN;
            let is_in_last = place >= lengths[LINES.len() - 2];
            let expected = match place {
                _ if is_in_last => Ok(LINES[..LINES.len() - 1].iter().map(|line| (*line).to_owned()).collect()),
                _ if key_id.contains(&place) => Err(Status::StorageForeign),
                _ => Err(Status::StorageDamaged),
            };
            assert_eq!(folder.all(), expected, "bit {bit} of byte {place}");
            assert!(fs::read(folder.file()).unwrap() == bytes, "the file stays as it is");
        }
    }
}

#[test]
fn line_moved_or_taken_from_another_file_is_refused() {
    let (folder, lengths) = Folder::with("moved", &["first", "other"]);
    let whole = fs::read(folder.file()).unwrap();
    let (first, second) = (&whole[HEADER_LEN..lengths[0]], &whole[lengths[0]..]);
    let (another, foreign_lengths) = Folder::with("moved-from", &["first", "other"]);
    let (foreign, foreign_first) = (fs::read(another.file()).unwrap(), foreign_lengths[0]);
    // The prefix is right for the new place, and the sealed bytes are not.
    let moved = [&prefix(&whole[..HEADER_LEN], 0, (second.len() - PREFIX_LEN) as u32), &second[PREFIX_LEN..]].concat();
    let all = |lines: &[u8]| {
        fs::write(folder.file(), [&whole[..HEADER_LEN], lines].concat()).unwrap();
        folder.all()
    };
    assert_eq!(all(&[second, first].concat()), Err(Status::StorageDamaged));
    assert_eq!(all(second), Err(Status::StorageDamaged));
    // Nothing was written behind these wrong lines, so they are taken for unfinished ones.
    assert_eq!(all(&[first, first].concat()).unwrap(), ["first"]);
    assert_eq!(all(&[first, &foreign[foreign_first..]].concat()).unwrap(), ["first"]);
    // A first line is never unfinished.
    assert_eq!(all(&moved), Err(Status::StorageDamaged));
    assert_eq!(all(&foreign[HEADER_LEN..]), Err(Status::StorageDamaged));
}

#[test]
fn file_of_other_device_or_product_is_foreign() {
    let (folder, _) = Folder::with("foreign", &LINES);
    for (product, hardware_id) in [("XY", "hw-2"), ("XZ", "hw-1")] {
        let mut log = AppendLog::new(folder.file(), product, hardware_id).unwrap();
        let error = log.read().err().unwrap();
        assert_eq!(error.status, Status::StorageForeign);
        assert!(error.message().contains("append-log-"), "{error}");
    }
}

#[test]
fn line_that_can_not_be_written_is_an_error() {
    let folder = Folder::new("none");
    let mut nowhere = AppendLog::new(folder.0.join("missing/log"), "XY", "hw-1").unwrap();
    nowhere.read().unwrap();
    assert_eq!(nowhere.append(b"line").unwrap_err().status, Status::Storage);
    fs::create_dir(folder.file()).unwrap();
    assert_eq!(folder.all(), Err(Status::Storage));
    fs::remove_dir(folder.file()).unwrap();

    let mut log = folder.log();
    log.read().unwrap();
    let long = vec![b'x'; 1 << 20];
    for _ in 0..7 {
        log.append(&long).unwrap();
    }
    let error = log.check_room(long.len()).unwrap_err();
    assert_eq!(error.status, Status::QueueFull);
    assert!(error.message().contains("append-log-"), "{error}");
    log.check_room(b"short".len()).unwrap();
    // Only `check_room` knows the limit: notes about the lines are added and read beyond it.
    for _ in 0..20 {
        log.append(&long).unwrap();
    }
    assert_eq!(folder.all().unwrap().len(), 27);
}

#[cfg(unix)]
#[test]
fn other_users_may_not_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, _) = Folder::with("private", &["line"]);
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}
