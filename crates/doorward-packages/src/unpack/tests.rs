//! What archives must not do.

use std::io::Write;
use std::path::Path;

use ::tar::{Builder, EntryType, Header};
use ::zip::write::SimpleFileOptions;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_size(size);
    header
}

/// An archive whose names stand in it as they are, whatever they are.
fn tar_of(entries: &[(EntryType, &str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (kind, name, content) in entries {
        let mut header = header(*kind, content.len() as u64);
        let field = &mut header.as_gnu_mut().unwrap().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn zip_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut writer = ::zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        if mode & 0o170_000 == 0o120_000 {
            writer.add_symlink(*name, "/etc/passwd", SimpleFileOptions::default()).unwrap();
            continue;
        }
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn untar(bytes: &[u8], bounds: Bounds) -> (tempfile::TempDir, Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let done = unpack_tar_gz(&mut Unpacker::new(&root, bounds), bytes, "node_modules/x/");
    (folder, done)
}

fn unzip(bytes: &[u8], bounds: Bounds) -> (tempfile::TempDir, Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir(&root).unwrap();
    let mut unpacker = Unpacker::new(&root, bounds);
    let done = unpack_zip(&mut unpacker, bytes, |name, program| Some((name.to_owned(), program)));
    (folder, done)
}

/// Nothing was written beside the folder.
fn nothing_outside(folder: &Path) {
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn regular_files_are_unpacked_below_the_folder() {
    let bytes = tar_of(&[
        (EntryType::Directory, "package/lib/", b""),
        (EntryType::Regular, "package/lib/a.js", b"one"),
        (EntryType::Regular, "package/package.json", b"{}"),
    ]);
    let (folder, done) = untar(&bytes, Bounds::default());
    done.unwrap();
    let file = folder.path().join("root/node_modules/x/lib/a.js");
    assert_eq!(fs::read_to_string(file).unwrap(), "one");
    let bytes = zip_of(&[("a/b.py", 0o644, b"two"), ("a/run", 0o755, b"three")]);
    let (folder, done) = unzip(&bytes, Bounds::default());
    done.unwrap();
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &str| {
        fs::metadata(folder.path().join("root").join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("a/b.py"), mode("a/run")), (0o444, 0o555));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "package/../../evil",
        "../evil",
        "package/a/../../../evil",
        "/etc/evil",
        "package//etc/evil",
        "package/./evil",
        "package/a\\..\\evil",
        "package/C:evil",
        "package/a\nb",
        "evil",
    ] {
        let (folder, done) = untar(&tar_of(&[(EntryType::Regular, name, b"x")]), Bounds::default());
        let refused = done.unwrap_err().to_string();
        assert!(refused.starts_with("refused: "), "{name}: {refused}");
        nothing_outside(folder.path());
    }
    for name in ["../evil", "/etc/evil", "a/../../evil", "a\\b", "a//b", "./../evil"] {
        let (folder, done) = unzip(&zip_of(&[(name, 0o644, b"x")]), Bounds::default());
        let refused = done.unwrap_err().to_string();
        assert!(refused.starts_with("refused: "), "{name}: {refused}");
        nothing_outside(folder.path());
    }
}

#[test]
fn links_and_devices_are_refused() {
    for kind in
        [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo]
    {
        let (_folder, done) = untar(&tar_of(&[(kind, "package/x", b"")]), Bounds::default());
        let refused = done.unwrap_err().to_string();
        assert!(refused.contains("link") || refused.contains("regular file"), "{refused}");
    }
    let (_folder, done) = unzip(&zip_of(&[("x", 0o120_777, b"")]), Bounds::default());
    assert!(done.unwrap_err().to_string().contains("is a link"));
}

#[test]
fn two_files_of_one_name_are_refused_in_whatever_case() {
    for (one, other, said) in [
        ("a.js", "a.js", "is there twice"),
        ("a.js", "A.js", "differ only in case"),
        ("lib/a.js", "Lib/b.js", "differ only in case"),
        ("a", "a/b", "is there twice"),
        ("straße", "STRASSE/../straße", "leads out"),
    ] {
        let (one, other) = (format!("package/{one}"), format!("package/{other}"));
        let entries = [
            (EntryType::Regular, one.as_str(), &b"1"[..]),
            (EntryType::Regular, other.as_str(), b"2"),
        ];
        let refused = untar(&tar_of(&entries), Bounds::default()).1.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    let bytes = zip_of(&[("a.py", 0o644, b""), ("A.py", 0o644, b"")]);
    let refused = unzip(&bytes, Bounds::default()).1.unwrap_err().to_string();
    assert!(refused.contains("differ only in case"), "{refused}");
}

#[test]
fn bombs_are_refused() {
    // Zeros are a thousandth of themselves, compressed.
    let zeros = vec![0; 64 << 20];
    let bytes = tar_of(&[(EntryType::Regular, "package/x", &zeros)]);
    let refused = untar(&bytes, Bounds::default()).1.unwrap_err().to_string();
    assert!(refused.contains("unpacks to more") || refused.contains("broken"), "{refused}");
    let bytes = zip_of(&[("x", 0o644, &zeros)]);
    let refused = unzip(&bytes, Bounds::default()).1.unwrap_err().to_string();
    assert!(refused.contains("unpacks to more"), "{refused}");

    let few = Bounds { files: 2, ..Bounds::default() };
    let entries: Vec<(EntryType, String)> =
        (0..3).map(|at| (EntryType::Regular, format!("package/{at}"))).collect();
    let entries: Vec<_> =
        entries.iter().map(|(kind, name)| (*kind, name.as_str(), &b""[..])).collect();
    let refused = untar(&tar_of(&entries), few).1.unwrap_err().to_string();
    assert!(refused.contains("more than 2 files"), "{refused}");
    let small = Bounds { bytes: 10, ..Bounds::default() };
    let bytes = tar_of(&[(EntryType::Regular, "package/x", b"eleven bytes")]);
    assert!(untar(&bytes, small).1.is_err());
}

#[test]
fn archives_that_are_cut_off_or_none_are_refused() {
    let bytes = tar_of(&[(EntryType::Regular, "package/x", &[7; 5_000])]);
    for cut in [&bytes[..bytes.len() / 2], b"no archive", b""] {
        assert!(untar(cut, Bounds::default()).1.is_err());
    }
    let bytes = zip_of(&[("x", 0o644, &[7; 5_000])]);
    for cut in [&bytes[..bytes.len() / 2], b"no archive", b""] {
        assert!(unzip(cut, Bounds::default()).1.is_err());
    }
}
