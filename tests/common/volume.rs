//! A small disk of its own, which can be filled and frozen: an ext4 in a file, mounted by loop.
//!
//! A shell keeps it: when its input ends, and so however this program ends, it thaws and unmounts.
#![expect(clippy::disallowed_types, reason = "tests, far from the data path")]

use std::{
    fs::{File, create_dir, remove_file},
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Mutex,
};
use tempfile::TempDir;

const KEEPER: &str = r#"
mount -o loop "$1/image" "$1/volume" || exit 1
echo done
while read -r order; do fsfreeze "$order" "$1/volume"; echo done; done
fsfreeze -u "$1/volume" 2>/dev/null
umount -l "$1/volume"
"#;

/// A mounted disk.
pub struct Volume {
    folder: TempDir,
    keeper: Child,
    orders: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

/// While it lives, whoever writes to the disk waits.
pub struct Frozen<'a>(&'a Volume);

impl Volume {
    /// An empty disk of so many MiB; none where this process may not mount one.
    pub fn new(mib: u64) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("pointsman-volume-").tempdir().expect("a temporary folder");
        let image = folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(mib << 20)).expect("an image");
        create_dir(folder.path().join("volume")).expect("a folder");
        let made = Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut pipes = (keeper.stdin.take()?, BufReader::new(keeper.stdout.take()?));
        let mounted = is_done(&mut pipes.1);
        let volume = Self { folder, keeper, orders: Mutex::new(Some(pipes)) };
        mounted.then_some(volume)
    }

    /// Its root.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("volume")
    }

    /// Takes every free block.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file on the disk");
        for block in [vec![1; 1 << 20], vec![1; 1 << 12]] {
            while file.write_all(&block).is_ok() {}
        }
        let _ = file.sync_all();
    }

    /// Gives the blocks back.
    pub fn empty(&self) {
        remove_file(self.filler()).expect("it was filled");
    }

    /// Freezes it.
    pub fn freeze(&self) -> Frozen<'_> {
        self.order("-f");
        Frozen(self)
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    fn order(&self, order: &str) {
        let mut pipes = self.orders.lock().expect("no thread panicked");
        let (orders, answers) = pipes.as_mut().expect("it is kept until it is dropped");
        writeln!(orders, "{order}").expect("the keeper listens");
        assert!(is_done(answers), "the keeper has ended");
    }
}

fn is_done(answers: &mut BufReader<ChildStdout>) -> bool {
    let mut line = String::new();
    answers.read_line(&mut line).is_ok() && line == "done\n"
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.order("-u");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        if let Ok(mut pipes) = self.orders.lock() {
            *pipes = None;
        }
        let _ = self.keeper.wait();
    }
}
