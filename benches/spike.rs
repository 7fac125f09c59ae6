//! Measures the steps of a save on the file system of a folder: `cargo run --release -p pflow-bench --bin
//! spike -- FOLDER`. It prints a table; `SPIKE.md` has the output and the conclusions.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement uses a real clock, talks, and may panic"
)]

use std::{
    fs::{File, create_dir, create_dir_all, remove_dir_all},
    io::Write,
    os::unix::fs::FileExt,
    path::PathBuf,
    time::Instant,
};

use rustix::fs::{
    AtFlags, FallocateFlags, Mode, OFlags, RenameFlags, fallocate, fdatasync, fsync, openat, renameat,
    renameat_with, syncfs, unlinkat,
};

/// A workflow's content.
const BODY: [u8; 4096] = [7; 4096];
/// A save in a journal: version, head and copy.
const RECORD: [u8; 10_240] = [9; 10_240];
const FILES: usize = 2_000;
const SYNCS: usize = 500;

/// A folder by its descriptor.
struct Place(File, PathBuf);

impl Place {
    fn create(&self, name: &str) -> File {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.0, name, flags, Mode::from_raw_mode(0o666)).unwrap().into()
    }

    fn write(&self, name: &str) {
        self.create(name).write_all(&BODY).unwrap();
    }

    fn rename(&self, to: &str) {
        renameat(&self.0, "t", &self.0, to).unwrap();
    }

    fn remove(&self, name: &str) {
        unlinkat(&self.0, name, AtFlags::empty()).unwrap();
    }

    fn sync(&self) {
        syncfs(&self.0).unwrap();
    }
}

fn main() {
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("target/spike"), PathBuf::from);
    let path = path.join(format!("spike-{}", std::process::id()));
    create_dir_all(&path).unwrap();
    let place = Place(File::open(&path).unwrap(), path);
    println!("| step | µs |\n| --- | ---: |");
    files(&place);
    logs(&place);
    remove_dir_all(&place.1).unwrap();
}

fn files(place: &Place) {
    time("new file, empty", FILES, |n| drop(place.create(&format!("e{n}"))));
    time("new file of 4 KiB", FILES, |n| place.write(&format!("a{n}")));
    time("new folder and a new file in it", FILES, |n| {
        create_dir(place.1.join(format!("f{n}"))).unwrap();
        place.write(&format!("f{n}/a"));
    });
    time("new file, renamed to a new name", FILES, |n| {
        place.write("t");
        place.rename(&format!("r{n}"));
    });
    place.sync();
    time("new file, renamed over one that is synced", FILES, |n| {
        place.write("t");
        place.rename(&format!("r{n}"));
    });
    place.sync();
    time("new file, exchanged with one that is synced, which is removed", FILES, |n| {
        place.write("t");
        renameat_with(&place.0, "t", &place.0, format!("r{n}"), RenameFlags::EXCHANGE).unwrap();
        place.remove("t");
    });
    place.sync();
    time("removing a synced file", FILES, |n| place.remove(&format!("a{n}")));
    time("removing an empty file", FILES, |n| place.remove(&format!("e{n}")));
    time("writing over a file in place", FILES, |n| {
        let file: File = openat(&place.0, format!("r{n}"), OFlags::RDWR, Mode::empty()).unwrap().into();
        file.write_all_at(&BODY, 0).unwrap();
    });
    for n in 0..FILES {
        place.write(&format!("s{n}"));
    }
    time("syncfs behind 2,000 new files, for each", 1, |_| place.sync()).per(FILES);
}

fn logs(place: &Place) {
    time("durable file: write, fsync, rename, fsync of the folder", SYNCS, |n| {
        let mut file = place.create("t");
        file.write_all(&BODY).unwrap();
        fsync(&file).unwrap();
        place.rename(&format!("d{n}"));
        fsync(&place.0).unwrap();
    });
    let append = |file: &File, n: usize| {
        file.write_all_at(&RECORD, (n * RECORD.len()) as u64).unwrap();
        fdatasync(file).unwrap();
    };
    let log = place.create("log");
    time("record of 10 KiB at the end of a log, fdatasync", SYNCS, |n| append(&log, n));
    time("the same over what was written before", SYNCS, |n| append(&log, n));
    let reserved = place.create("reserved");
    fallocate(&reserved, FallocateFlags::empty(), 0, (SYNCS * RECORD.len()) as u64).unwrap();
    fsync(&reserved).unwrap();
    time("the same into room that fallocate reserved", SYNCS, |n| append(&reserved, n));
    time("the same over what was written, with three new files before it", SYNCS, |n| {
        for name in ["x", "y", "z"] {
            place.write(&format!("{name}{n}"));
        }
        append(&log, n);
    });
    let group = vec![5; 64 * RECORD.len() / 2];
    time("64 records of 5 KiB over what was written, fdatasync", SYNCS / 10, |_| {
        log.write_all_at(&group, 0).unwrap();
        fdatasync(&log).unwrap();
    });
}

struct Took(f64);

impl Took {
    fn per(self, count: usize) {
        println!("| … each of them | {:.1} |", self.0 / count as f64);
    }
}

fn time(step: &str, count: usize, mut work: impl FnMut(usize)) -> Took {
    let begin = Instant::now();
    (0..count).for_each(&mut work);
    let each = begin.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!("| {step} | {each:.1} |");
    Took(each)
}
