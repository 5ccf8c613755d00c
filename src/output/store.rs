//! The output folder: files are made in it and nowhere else, and never over another.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::sys::uio::pwritev;

use super::numbers::Numbers;

/// Slices that the system takes at once (IOV_MAX).
pub const SLICES: usize = 1024;

/// An output folder, held open: whoever moves or replaces it meanwhile changes nothing.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    folder: OwnedFd,
}

impl Store {
    /// Opens the folder at `path`, made with its parents where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self {
            path: path.to_owned(),
            folder: open(path, flags, Mode::empty())?,
        })
    }

    /// A new folder: `path`, or `path~1`, `path~2` … where that stands already.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        for count in 0..=u32::MAX {
            let mut name = path.as_os_str().to_owned();
            if count > 0 {
                name.push(format!("~{count}"));
            }
            match std::fs::create_dir(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Self::open(Path::new(&name)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The folder `name` in this one, made where it is missing; where a link stands there it is not followed.
    ///
    /// # Errors
    /// What the system says.
    pub fn inner(&self, name: &str) -> io::Result<Self> {
        Ok(Self {
            path: self.path.join(name),
            folder: enter(&self.folder, name)?,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new file, mode 0640, by the first of the names that `name(0)`, `name(1)`, … give that nobody has.
    /// Folders in the name are made.
    ///
    /// # Errors
    /// What the system says.
    pub fn create_file(
        &self,
        numbers: &mut Numbers,
        name: impl FnMut(u32) -> String,
    ) -> io::Result<(File, String)> {
        numbers.first_free(name, |candidate| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
            match open_in(&self.folder, candidate, flags) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// A file made before, to be written on.
    ///
    /// # Errors
    /// What the system says.
    pub fn reopen(&self, name: &str) -> io::Result<File> {
        open_in(&self.folder, name, OFlag::O_WRONLY)
    }
}

/// A new file at `path`, or with a number before the name's ending where that stands already; open for reading, too.
///
/// # Errors
/// What the system says.
pub fn create_new(path: &Path, mode: u32) -> io::Result<(File, PathBuf)> {
    let mut options = File::options();
    options.read(true).write(true).create_new(true).mode(mode);
    for count in 0..=u32::MAX {
        let mut candidate = path.to_owned();
        if count > 0 {
            let mut name = path.file_stem().unwrap_or_default().to_owned();
            name.push(format!("~{count}"));
            if let Some(ending) = path.extension() {
                name.push(".");
                name.push(ending);
            }
            candidate.set_file_name(name);
        }
        match options.open(&candidate) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (file, candidate)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// What `path` leads to, where it is no file that could be written over: a FIFO, a device, what is open already.
///
/// # Errors
/// What the system says.
pub fn open_existing(path: &Path) -> io::Result<Option<File>> {
    let descriptors = [&b"/dev/std"[..], b"/dev/fd/", b"/proc/"];
    let is_descriptor = |place: &[u8]| path.as_os_str().as_encoded_bytes().starts_with(place);
    match path.metadata() {
        Ok(kind) if !kind.is_file() || descriptors.into_iter().any(is_descriptor) => {
            File::options().append(true).open(path).map(Some)
        }
        _ => Ok(None),
    }
}

/// Opens the file that `name` leads to from `folder`, one folder after the other: on the way through several at once
/// the system would follow links out of the first.
fn open_in(folder: &OwnedFd, name: &str, flags: OFlag) -> io::Result<File> {
    // Nearly all names have none: `split_once` takes several times as long to see that.
    if let Some(end) = memchr::memchr(b'/', name.as_bytes()) {
        let (first, rest) = name.split_at(end);
        return open_in(&enter(folder, first)?, rest.trim_start_matches('/'), flags);
    }
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(File::from(openat(
        folder,
        name,
        flags,
        Mode::from_bits_truncate(0o640),
    )?))
}

/// The folder `name` in `folder`, made where it is missing.
fn enter(folder: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let open = || openat(folder, name, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::ENOENT) => match mkdirat(folder, name, Mode::from_bits_truncate(0o750)) {
            Ok(()) | Err(Errno::EEXIST) => open(),
            Err(error) => Err(error),
        },
        opened => opened,
    };
    opened.map_err(|error| match error {
        // Which of them a link gives differs by system.
        Errno::ENOTDIR | Errno::ELOOP | Errno::EMLINK => io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("`{name}` stands there and is no folder; symbolic links are not followed"),
        ),
        error => error.into(),
    })
}

/// Writes all of `slices`, one behind the other, at `offset`.
///
/// # Errors
/// What the system says.
pub fn write_at(file: &File, mut slices: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !slices.is_empty() {
        let at = i64::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let now = slices.get(..SLICES).unwrap_or(slices);
        let written = match pwritev(file, now, at) {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => written,
        };
        IoSlice::advance_slices(&mut slices, written);
        offset += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::name::numbered;

    #[test]
    fn nothing_is_written_over_and_no_link_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("a/b")).unwrap();
        let name = |count| numbered("x".to_owned(), count);
        let (file, first) = store.create_file(&mut Numbers::default(), name).unwrap();
        let mut slices = [&b""[..], b"fi", b"", b"rst"].map(IoSlice::new);
        write_at(&file, &mut slices, 0).unwrap();
        std::os::unix::fs::symlink("/dev/null", folder.path().join("a/b/x~1")).unwrap();
        let (_, second) = store.create_file(&mut Numbers::default(), name).unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("x", "x~2"));
        assert!(store.reopen("x~1").is_err());
        assert_eq!(std::fs::read(folder.path().join("a/b/x")).unwrap(), b"first");
    }

    #[test]
    fn a_link_in_place_of_a_folder_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let create = |name: &str| store.create_file(&mut Numbers::default(), |_| name.to_owned());
        create("a/b/file").unwrap();
        for link in ["link", "a/link"] {
            std::os::unix::fs::symlink(outside.path(), folder.path().join(link)).unwrap();
            std::fs::write(outside.path().join("there"), "").unwrap();
            for error in [
                create(&format!("{link}/new")).unwrap_err(),
                create(&format!("{link}/b/new")).unwrap_err(),
                store.reopen(&format!("{link}/there")).unwrap_err(),
            ] {
                assert!(
                    error.to_string().contains("`link` stands there and is no folder"),
                    "{error}"
                );
            }
        }
        assert!(store.inner("link").is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
        store.reopen("a/b/file").unwrap();
    }

    #[test]
    fn a_name_without_counter_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let names: Vec<_> = (0..3)
            .map(|_| {
                store
                    .create_file(&mut Numbers::default(), |_| "k/same".to_owned())
                    .unwrap()
                    .1
            })
            .collect();
        assert_eq!(names, ["k/same", "k/same~1", "k/same~2"]);
    }

    #[test]
    fn a_new_folder_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mail.flows");
        assert_eq!(Store::create(&path).unwrap().path(), path);
        assert_eq!(
            Store::create(&path).unwrap().path(),
            folder.path().join("mail.flows~1")
        );
    }
}
