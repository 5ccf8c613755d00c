use std::process::Command;

use super::*;

const TIME: Timestamp = Timestamp::from_nanos(1_795_246_703_000_000_000);

/// What Python's zipfile says to a script about the archive in `argv[1]`; `None`, said, where there is no Python.
fn python(script: &str, path: &Path) -> Option<String> {
    let Ok(output) = Command::new("python3").arg("-c").arg(script).arg(path).output() else {
        eprintln!("skipped: no python3");
        return None;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `None`, and said, where the file system takes no sparse files of that size.
fn sparse(archive: &Archive) -> Option<()> {
    let holds = archive
        .file
        .set_len(6 << 30)
        .and_then(|()| archive.file.set_len(0));
    if let Err(error) = &holds {
        eprintln!("skipped: no sparse file of 6 GiB: {error}");
    }
    holds.ok()
}

#[test]
fn a_member_of_5_gib_and_one_behind_it_take_zip64() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::create(&folder.path().join("x.zip"), Format::Zip, false).unwrap();
    let Some(()) = sparse(&archive) else { return };
    let mut long = Spooled::default();
    archive.spool(&mut long, 0, b"begin").unwrap();
    archive.add("long", TIME, long, 5 << 30, b"end").unwrap();
    archive
        .add("behind", TIME, Spooled::default(), 0, b"behind")
        .unwrap();
    archive.finish().unwrap();
    let script = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1])\n\
        print([(i.filename, i.file_size, i.date_time) for i in z.infolist()][:2], z.read('behind'), z.open('long').read(7))";
    let Some(said) = python(script, archive.path()) else {
        return;
    };
    assert_eq!(
        said,
        "[('long', 5368709123, (2026, 11, 21, 7, 38, 22)), ('behind', 6, (2026, 11, 21, 7, 38, 22))] \
         b'behind' b'begin\\x00\\x00'"
    );
    use std::os::unix::fs::MetadataExt;
    let used = std::fs::metadata(archive.path()).unwrap().blocks() * 512;
    assert!(used < 1 << 20, "what the capture lacks takes no space: {used}");
}

#[test]
fn an_index_of_5_gib_has_both_its_sizes_in_the_zip64_record() {
    let member = Member {
        name: INDEX,
        time: TIME.into(),
        method: Method::Deflated,
        len: 5 << 30,
        crc: 1,
        packed: 5 << 20,
        offset: 7,
    };
    // Version needed, no flags, method 8, date, time, CRC, two sizes elsewhere; lengths of name and extra.
    let common = b"\x2d\0\0\0\x08\0\xcb\x3c\x75\x5d\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x0b\0\x14\0";
    let sizes = b"\x01\0\x10\0\0\0\0\x40\x01\0\0\0\0\0\x50\0\0\0\0\0";
    let (mut local, mut central) = (Vec::new(), Vec::new());
    member.local_header(&mut local).unwrap();
    member.central_header(&mut central);
    assert_eq!(
        local,
        [b"PK\x03\x04", &common[..], b"flows.jsonl", sizes].concat()
    );
    let behind = b"\0\0\0\0\0\0\0\0\xa0\x81\x07\0\0\0";
    let wanted = [b"PK\x01\x02\x2d\x03", &common[..], behind, b"flows.jsonl", sizes].concat();
    assert_eq!(central, wanted);
}

#[test]
fn a_tar_member_of_9_gib_and_a_long_name_are_read_by_the_tar_crate() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::create(&folder.path().join("x.tar"), Format::Tar, false).unwrap();
    let Some(()) = sparse(&archive) else { return };
    let name = "n".repeat(150);
    archive
        .add(&name, TIME, Spooled::default(), 9 << 30, b"end")
        .unwrap();
    archive.add("b", TIME, Spooled::default(), 0, b"behind").unwrap();
    archive.finish().unwrap();
    let mut read = ::tar::Archive::new(File::open(archive.path()).unwrap());
    let found: Vec<_> = read
        .entries_with_seek()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path().unwrap().display().to_string(), entry.size()))
        .collect();
    let wanted = [(name, (9 << 30) + 3), ("b".to_owned(), 6), (INDEX.to_owned(), 0)];
    assert_eq!(found, wanted);
}

#[test]
fn a_member_that_fails_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut archive = Archive::create(&folder.path().join("x.zip"), Format::Zip, false).unwrap();
    archive.add("good", TIME, Spooled::default(), 0, b"good").unwrap();
    archive.flush().unwrap();
    // The spool lost its bytes: the header is written, copying fails.
    let mut bad = Spooled::default();
    archive.spool(&mut bad, 0, b"bad").unwrap();
    archive.spool.truncate();
    assert!(archive.add("bad", TIME, bad, 3, b"").is_err());
    archive.add("next", TIME, Spooled::default(), 0, b"next").unwrap();
    archive.finish().unwrap();
    let script = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1])\n\
        print(z.testzip(), z.namelist(), z.read('next'))";
    let Some(said) = python(script, archive.path()) else {
        return;
    };
    assert_eq!(said, "None ['good', 'next', 'flows.jsonl'] b'next'");
}

#[test]
fn names_are_taken_once_and_the_index_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/mail.zip");
    let mut archive = Archive::create(&path, Format::Zip, false).unwrap();
    let mut name = |name: &str| archive.name(|_| name.to_owned()).unwrap();
    assert_eq!([name("x"), name("x"), name("x")], ["x", "x~1", "x~2"]);
    assert_eq!(name(INDEX), "flows.jsonl~1");
    let second = Archive::create(&path, Format::Zip, false).unwrap();
    assert_eq!(second.path(), folder.path().join("a/mail~1.zip"));
    let here = || std::fs::read_dir(folder.path().join("a")).unwrap().count();
    assert_eq!(here(), 2, "the spools have no names");
}

#[test]
fn what_ends_in_zip_or_tar_is_an_archive() {
    for (path, format) in [
        ("a.zip", Some(Format::Zip)),
        ("a/b.ZIP", Some(Format::Zip)),
        ("a.tar", Some(Format::Tar)),
        ("a.zip/", None),
        ("zip", None),
        (".zip", None),
        ("a.tar.gz", None),
    ] {
        assert_eq!(Format::of(Path::new(path)), format, "{path}");
    }
}
