//! What lies in a pack's folder, listed and read within bounds.
//!
//! Only known folders are entered and only known files read; anything else is a fault, so that a pack written for a
//! newer hub is refused instead of loaded by half. Hidden entries are skipped. A symbolic link may lead to another
//! place inside the pack (as mounted configuration does), never outside.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::fault::PackFault;
use crate::suggest;

/// The largest file.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 20;
/// The most bytes in all files of a pack.
pub(crate) const MAX_PACK_BYTES: u64 = 16 << 20;
/// The most files in a pack.
pub(crate) const MAX_FILES: usize = 1000;

/// The manifest's file name.
pub(crate) const MANIFEST: &str = "pack.yaml";
/// Texts for people, which are not read.
const IGNORED_FILES: &[&str] = &["README.md", "CHANGELOG.md", "LICENSE"];

/// A folder that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `schemas/`: one event type a file.
    EventTypes,
    /// `schemas/defs/`: schemas that event types share.
    Definitions,
    /// `samples/`: sample events.
    Samples,
    /// `tests/`.
    Tests,
    /// `workflows/`: definitions of workflows.
    Workflows,
}

impl Part {
    /// Every part, with its folder and the files' extension.
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::EventTypes, "schemas", "json"),
        (Self::Definitions, "schemas/defs", "json"),
        (Self::Samples, "samples", "json"),
        (Self::Tests, "tests", "yaml"),
        (Self::Workflows, "workflows", "yaml"),
    ];
}

/// A file of the pack, as text.
#[derive(Debug)]
pub(crate) struct PackFile {
    /// As reached from the path the pack was loaded by.
    pub(crate) path: PathBuf,
    pub(crate) part: Part,
    /// The name without the extension.
    pub(crate) stem: String,
    pub(crate) text: String,
}

/// Everything a pack holds, in the order of the parts and of the names.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The manifest's path and text.
    pub(crate) manifest: Option<(PathBuf, String)>,
    pub(crate) files: Vec<PackFile>,
    /// Parts and stems of files that exist but could not be read; each has its fault. Whoever refers to one of them is
    /// not to blame.
    pub(crate) unread: Vec<(Part, String)>,
}

impl Contents {
    /// Lists the files of a part.
    pub(crate) fn of(&self, part: Part) -> impl Iterator<Item = &PackFile> {
        self.files.iter().filter(move |file| file.part == part)
    }

    /// Lists the stems of a part's files that could not be read.
    pub(crate) fn unread_of(&self, part: Part) -> impl Iterator<Item = &str> {
        self.unread.iter().filter(move |(unread, _)| *unread == part).map(|(_, stem)| stem.as_str())
    }
}

/// Reads a pack's folder. Always returns what could be read, so that faults in it are found too.
pub(crate) fn read(dir: &Path) -> (Contents, Vec<PackFault>) {
    let root = match dir.canonicalize() {
        Ok(root) if root.is_dir() => root,
        Ok(_) => {
            return (
                Contents::default(),
                vec![PackFault::new(dir, None, "is no folder", "name a pack's folder")],
            );
        }
        Err(error) => {
            let problem = format!("cannot be opened: {}", error.kind());
            return (
                Contents::default(),
                vec![PackFault::new(dir, None, problem, "check the path and its rights")],
            );
        }
    };
    let mut walk = Walk { root, n_files: 0, n_bytes: 0, contents: Contents::default(), faults: Vec::new() };
    walk.top(dir);
    if walk.contents.manifest.is_none() && !walk.faults.iter().any(|fault| fault.file == dir.join(MANIFEST)) {
        walk.fault(dir, format!("{MANIFEST} is missing"), "add the manifest, or load another folder");
    }
    (walk.contents, walk.faults)
}

struct Walk {
    /// The folder with all symbolic links followed.
    root: PathBuf,
    n_files: usize,
    n_bytes: u64,
    contents: Contents,
    faults: Vec<PackFault>,
}

/// What an entry turned out to be, links followed.
enum Kind {
    Folder,
    File,
}

impl Walk {
    fn fault(&mut self, file: &Path, problem: impl Into<String>, fix: impl Into<String>) {
        self.faults.push(PackFault::new(file, None, problem, fix));
    }

    fn top(&mut self, dir: &Path) {
        for (name, path) in self.entries(dir) {
            match self.kind(&path) {
                None => {}
                Some(Kind::Folder) => {
                    if Part::ALL.iter().any(|(_, folder, _)| *folder == name) {
                        continue;
                    }
                    self.unknown_folder(&path, &name);
                }
                Some(Kind::File) if name == MANIFEST => {
                    self.contents.manifest = self.text(&path).map(|text| (path, text));
                }
                Some(Kind::File) if IGNORED_FILES.contains(&name.as_str()) => {}
                Some(Kind::File) => self.unknown_file(&path, &name),
            }
        }
        for (part, folder, extension) in Part::ALL {
            let path = dir.join(folder);
            // Absent is fine; everything else was judged above or is judged when it is entered.
            if path.is_dir() && self.inside(&path) {
                self.part(&path, part, extension);
            }
        }
    }

    fn part(&mut self, folder: &Path, part: Part, extension: &str) {
        for (name, path) in self.entries(folder) {
            match self.kind(&path) {
                None => {}
                Some(Kind::Folder) if part == Part::EventTypes && name == "defs" => {}
                Some(Kind::Folder) => {
                    self.fault(
                        &path,
                        "a folder that this version does not know",
                        "move its files up, or remove it",
                    );
                }
                Some(Kind::File) => {
                    let stem = name.strip_suffix(extension).and_then(|stem| stem.strip_suffix('.'));
                    let Some(stem) = stem.filter(|stem| !stem.is_empty()) else {
                        self.fault(
                            &path,
                            format!("only files named *.{extension} belong here"),
                            "rename, move or remove it",
                        );
                        continue;
                    };
                    let stem = stem.to_owned();
                    match self.text(&path) {
                        Some(text) => self.contents.files.push(PackFile { path, part, stem, text }),
                        None => self.contents.unread.push((part, stem)),
                    }
                }
            }
        }
    }

    /// Lists a folder by name, without hidden entries.
    fn entries(&mut self, folder: &Path) -> Vec<(String, PathBuf)> {
        let listed = fs::read_dir(folder).and_then(|entries| {
            // One more than allowed is enough to know that there are too many.
            entries.take(MAX_FILES + 1).collect::<Result<Vec<_>, _>>()
        });
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.fault(folder, format!("cannot be listed: {}", error.kind()), "check its rights");
                return Vec::new();
            }
        };
        let mut names = Vec::new();
        for entry in listed {
            let path = folder.join(entry.file_name());
            match entry.file_name().into_string() {
                Ok(name) if name.starts_with('.') => {}
                Ok(name) => names.push((name, path)),
                Err(_) => self.fault(&path, "the name is no UTF-8", "rename it"),
            }
        }
        names.sort();
        if self.n_files + names.len() > MAX_FILES {
            self.fault(folder, format!("more than {MAX_FILES} files in a pack"), "split the pack");
            return Vec::new();
        }
        self.n_files += names.len();
        names
    }

    /// Tells what an entry is; records a fault for what is neither file nor folder or leads outside.
    fn kind(&mut self, path: &Path) -> Option<Kind> {
        if !self.inside(path) {
            return None;
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Some(Kind::Folder),
            Ok(meta) if meta.is_file() => Some(Kind::File),
            Ok(_) => {
                self.fault(path, "is neither a file nor a folder", "remove it");
                None
            }
            Err(error) => {
                self.fault(path, format!("cannot be opened: {}", error.kind()), "check its rights");
                None
            }
        }
    }

    fn inside(&mut self, path: &Path) -> bool {
        match path.canonicalize() {
            Ok(real) if real.starts_with(&self.root) => true,
            Ok(_) => {
                self.fault(
                    path,
                    "a symbolic link that leaves the pack",
                    "copy what it leads to into the pack",
                );
                false
            }
            Err(error) => {
                self.fault(
                    path,
                    format!("cannot be opened: {}", error.kind()),
                    "check where the link leads and its rights",
                );
                false
            }
        }
    }

    /// Reads a file that [`Self::kind`] found to be one.
    fn text(&mut self, path: &Path) -> Option<String> {
        let mut bytes = Vec::new();
        let read =
            fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            self.fault(path, format!("cannot be read: {}", error.kind()), "check its rights");
            return None;
        }
        if bytes.len() as u64 > MAX_FILE_BYTES {
            self.fault(path, format!("larger than {MAX_FILE_BYTES} bytes"), "split or shorten it");
            return None;
        }
        self.n_bytes += bytes.len() as u64;
        if self.n_bytes > MAX_PACK_BYTES {
            // Recorded once: what follows is not read.
            if self.n_bytes - (bytes.len() as u64) <= MAX_PACK_BYTES {
                self.fault(
                    path,
                    format!("with this file the pack is larger than {MAX_PACK_BYTES} bytes"),
                    "split the pack",
                );
            }
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let n = error.utf8_error().valid_up_to();
                self.fault(
                    path,
                    format!("no UTF-8 text: byte {n} belongs to no character"),
                    "save it as UTF-8",
                );
                None
            }
        }
    }

    fn unknown_folder(&mut self, path: &Path, name: &str) {
        let known = Part::ALL.iter().map(|(_, folder, _)| *folder);
        let fix = match suggest::nearest(name, known) {
            Some(near) => format!("did you mean {near}/?"),
            None => "load the pack with a version that knows it, or remove it".to_owned(),
        };
        self.fault(path, "a folder that this version does not know", fix);
    }

    fn unknown_file(&mut self, path: &Path, name: &str) {
        let known = IGNORED_FILES.iter().copied().chain([MANIFEST]);
        let fix = match suggest::nearest(name, known) {
            Some(near) => format!("did you mean {near}?"),
            None => "load the pack with a version that knows it, or move or remove the file".to_owned(),
        };
        self.fault(path, "a file that this version does not know", fix);
    }
}
