//! Swift 6 for the tests of the Swift package: the host's own, or Debian 13's on Debian 12.
//!
//! Debian 12 has no Swift, and Debian 13's wants a newer C library. So Debian 13's packages are
//! extracted into a folder of the cache, which programs then get as their root, with folders of the
//! host at their own paths: by mounts that only the program itself sees (bubblewrap) or, in a
//! container that permits none, by proot, which takes twice as long. The host never sees a mount: a
//! command that dies leaves none behind, and deleting the cache deletes nothing else. No script of a
//! package runs, so none of this needs root.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{report, setup};

/// The oldest that has the language mode 6.
const OLDEST: u32 = 6;
/// In the cache. When PACKAGES change, so must this: a folder that is there counts as whole.
const FOLDER: &str = "swift-debian13";
const SUITE: &str = "trixie";
/// With what they depend on. base-files has the links into /usr (/bin, /lib), dash is /bin/sh.
const PACKAGES: &str = "base-files,coreutils,dash,gcc,libc6-dev,libstdc++-14-dev,swiftlang";
/// A script of the package would link `swift` into /usr/bin.
const PATH: &str = "/usr/libexec/swift/bin:/usr/bin:/usr/sbin";

/// A Swift 6 that runs here.
pub struct Swift(Place);

enum Place {
    Host,
    Debian13(Debian13),
}

struct Debian13 {
    root: PathBuf,
    with: With,
}

/// How a program gets Debian 13's root.
#[derive(Clone, Copy)]
enum With {
    Bubblewrap,
    Proot,
}

/// Why there can be no Swift 6 here, if there can be none.
pub fn not_here() -> Option<String> {
    if setup::is_debian() || host().is_some() {
        return None;
    }
    Some(format!(
        "set up by itself on Debian only; elsewhere it needs Swift {OLDEST} or newer on PATH"
    ))
}

/// Finds Swift 6, or installs it.
pub fn toolchain() -> Result<Swift> {
    if let Some(host) = host() {
        return Ok(host);
    }
    if let Some(why) = not_here() {
        bail!("{why}");
    }
    setup::swift_packages()?;
    let with = if permits_mounts() {
        With::Bubblewrap
    } else {
        println!("mounting is not permitted here: Swift runs under proot");
        setup::proot()?;
        With::Proot
    };
    let root = setup::cache()?.join(FOLDER);
    install(&root, with)?;
    let debian = Debian13 { root, with };
    debian.check().with_context(|| {
        let folder = debian.root.display();
        format!("{folder}: delete it to have it installed again")
    })?;
    Ok(Swift(Place::Debian13(debian)))
}

/// Renamed into place when whole and tried, so being there means being whole.
fn install(folder: &Path, with: With) -> Result<()> {
    let there = || {
        let there = folder.is_dir();
        if there {
            eprintln!("there: {}", folder.display());
        }
        there
    };
    if there() {
        return Ok(());
    }
    // Held by the one run that installs, and by its mmdebstrap, which may live on when that run dies.
    let lock = folder.with_extension("lock");
    let lock = File::create(&lock).with_context(|| format!("{}: cannot create", lock.display()))?;
    lock.lock()?;
    if there() {
        return Ok(());
    }
    println!(
        "extracting Swift from Debian 13 (a download of 0.6 GB, once; 2.6 GB on disk) into {}; \
         no script of a package runs, so a warning of chrootless mode means nothing",
        folder.display()
    );
    let part = folder.with_extension("part");
    // What an interrupted run left.
    remove(&part)?;
    let tried = extract(&part, &lock).and_then(|()| {
        let root = part.clone();
        Debian13 { root, with }.check()
    });
    if tried.is_err() {
        let _ = remove(&part);
    }
    tried?;
    std::fs::rename(&part, folder)
        .with_context(|| format!("{}: cannot rename into place", folder.display()))
}

impl Swift {
    /// `program` (`swift`, `swiftc`), to be run in `folder`. Of the host's files it may see and write
    /// those below `folder` and `visible` only, all absolute paths to folders that are there. The
    /// caller adds arguments and environment: Debian 13's programs inherit none.
    pub fn command(&self, program: &str, folder: &Path, visible: &[&Path]) -> Command {
        match &self.0 {
            Place::Host => {
                let mut command = Command::new(program);
                command.current_dir(folder);
                command
            }
            Place::Debian13(debian) => {
                debian.command(program, folder, &[&[folder], visible].concat())
            }
        }
    }
}

impl Debian13 {
    fn command(&self, program: &str, folder: &Path, visible: &[&Path]) -> Command {
        let mut command = match self.with {
            With::Bubblewrap => bubblewrap(&self.root),
            With::Proot => proot(&self.root),
        };
        for path in visible {
            // Read-only for bubblewrap, which so cannot make a place there to mount at.
            if path.starts_with("/usr") || path.starts_with("/etc") {
                let place = self.root.join(path.strip_prefix("/").unwrap_or(path));
                let _ = std::fs::create_dir_all(place);
            }
            match self.with {
                With::Bubblewrap => command.arg("--bind").arg(path).arg(path),
                With::Proot => command.arg("-b").arg(path),
            };
        }
        command.arg(match self.with {
            With::Bubblewrap => "--chdir",
            With::Proot => "-w",
        });
        command.arg(folder).arg(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("LANG", "C.UTF-8");
        command
    }

    /// Whether it runs.
    fn check(&self) -> Result<()> {
        let mut swift = self.command("swift", Path::new("/"), &[]);
        let output = swift.arg("--version").stdin(Stdio::null()).output()?;
        let found = major(&String::from_utf8_lossy(&output.stdout));
        if found.is_none_or(|found| found < OLDEST) {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!(
                "no Swift {OLDEST}: {}: {}",
                report::shown(&swift),
                errors.trim()
            );
        }
        Ok(())
    }
}

/// The Swift on PATH, if it is new enough.
fn host() -> Option<Swift> {
    let output = Command::new("swift")
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let found = major(&String::from_utf8_lossy(&output.stdout))?;
    (found >= OLDEST).then_some(Swift(Place::Host))
}

/// What `swift --version` says: "Swift version 6.0.3 (swift-6.0.3-RELEASE)", among other words.
fn major(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("Swift version ")?;
    version.split(['.', ' ', '-']).next()?.trim().parse().ok()
}

/// Whether bubblewrap works here, tried with the host's own programs.
fn permits_mounts() -> bool {
    bubblewrap(Path::new("/"))
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A root in memory, gone with the program, that has the toolchain in it, read-only.
fn bubblewrap(root: &Path) -> Command {
    let mut command = Command::new("bwrap");
    // For root: without its rights it could not write to another user's checkout.
    command.args(["--die-with-parent", "--cap-add", "ALL"]);
    for name in ["usr", "etc"] {
        let place = format!("/{name}");
        command.arg("--ro-bind").arg(root.join(name)).arg(place);
    }
    for name in ["bin", "lib", "lib64", "sbin"] {
        command.args(["--symlink", &format!("usr/{name}"), &format!("/{name}")]);
    }
    command.args(["--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev"]);
    command.args(["--tmpfs", "/tmp", "--dir", "/root"]);
    command
}

fn proot(root: &Path) -> Command {
    let mut command = Command::new("proot");
    command.arg("-r").arg(root);
    command.args(["-b", "/proc", "-b", "/dev"]);
    command
}

fn extract(part: &Path, lock: &File) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    // An empty file: as its input, mmdebstrap holds it too.
    command.stdin(lock.try_clone()?);
    // To extract needs neither root nor mounts, so the mode that uses neither. Not quiet, for it
    // would keep apt's errors to itself.
    command.args(["--mode=chrootless", "--variant=extract"]);
    command.args(["--aptopt=Acquire::Retries \"3\"", "--include", PACKAGES]);
    for proxy in apt_proxies() {
        command.arg(format!("--aptopt={proxy}"));
    }
    command.arg(SUITE).arg(part);
    command.arg(format!(
        "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} {SUITE} main",
        mirror()
    ));
    report::run(&mut command)
}

/// Where the host gets its own release from.
fn mirror() -> String {
    let targets = output(
        "apt-get",
        &[
            "indextargets",
            // The lists need not be there.
            "--no-release-info",
            "--format",
            "$(RELEASE) $(REPO_URI)",
            "Created-By: Packages",
        ],
    );
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    name.and_then(|name| mirror_of(name, &targets))
        .unwrap_or("http://deb.debian.org/debian")
        .into()
}

fn mirror_of<'a>(release: &str, targets: &'a str) -> Option<&'a str> {
    targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, uri)| *name == release && uri.starts_with("http"))
        .map(|(_, uri)| uri)
}

/// The host's settings of proxies, which mmdebstrap does not read.
fn apt_proxies() -> Vec<String> {
    output("apt-config", &["dump", "Acquire"])
        .lines()
        .filter(|line| line.contains("::Proxy") && !line.ends_with("\"\";"))
        .map(Into::into)
        .collect()
}

/// What a program prints; nothing if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: cannot remove", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_swift_says() {
        let debian = "Swift version 6.0.3 (swift-6.0.3-RELEASE)\nTarget: x86_64-pc-linux-gnu\n";
        assert_eq!(major(debian), Some(6));
        let apple = "swift-driver version: 1.120.5 Apple Swift version 6.1 (swiftlang-6.1.0)\n";
        assert_eq!(major(apple), Some(6));
        assert_eq!(
            major("Swift version 5.10.1 (swift-5.10.1-RELEASE)"),
            Some(5)
        );
        assert_eq!(major("Swift version 6.2-dev (LLVM 1a2b)"), Some(6));
        // OpenStack's program of that name.
        assert_eq!(major("python-swiftclient 4.2.0"), None);
    }

    #[test]
    fn the_mirror_is_that_of_the_release_itself() {
        let targets = "bookworm-security http://security.debian.org/debian-security/\n\
                       bookworm-updates http://mirror.example/debian/\n\
                       bookworm http://mirror.example/debian/\n";
        let mirror = mirror_of("bookworm", targets);
        assert_eq!(mirror, Some("http://mirror.example/debian/"));
        assert_eq!(mirror_of("trixie", targets), None);
        let from_disc = "bookworm cdrom:[Debian]/";
        assert_eq!(mirror_of("bookworm", from_disc), None);
    }

    #[test]
    fn debian_13_sees_the_folders_asked_for_and_no_environment() {
        let root = std::env::temp_dir();
        for (with, before) in [(With::Bubblewrap, "--bind"), (With::Proot, "-b")] {
            let root = root.clone();
            let swift = Swift(Place::Debian13(Debian13 { root, with }));
            let mut command = swift.command("swift", Path::new("/a"), &[Path::new("/b")]);
            command.arg("test").env("X", "1");
            let words: Vec<_> = command.get_args().collect();
            for folder in ["/a", "/b"] {
                assert!(words.windows(2).any(|two| two == [before, folder]));
            }
            assert!(words.ends_with(&["/a".as_ref(), "swift".as_ref(), "test".as_ref()]));
            let names: Vec<_> = command.get_envs().map(|(name, _)| name).collect();
            assert_eq!(names, ["HOME", "LANG", "PATH", "X"]);
        }
    }
}
