//! A private QEMU 10 for Debian 12, whose own is too old for x2APIC under translation:
//! unpacked from the packages of bookworm-backports without touching the system.
use crate::build::run;
use crate::error::{Context, Error, Result};
use crate::install_lock::find_or_install;
use crate::workspace::{self, find_program};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian keeps the keys of its archive.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Debian's archive.
const ARCHIVE: &str = "http://deb.debian.org/debian";

/// Installs QEMU 10 below the target directory, if it is not there, and returns its program.
///
/// # Errors
/// If this is not a Debian-like system with apt, or the packages cannot be had.
pub fn ensure() -> Result<PathBuf> {
    let folder = workspace::target().join("qemu10");
    let program = folder.join("qemu-system-x86_64");
    let find = || Some(program.clone()).filter(|program| program.is_file());
    find_or_install("QEMU 10", find, || fetch(&folder, &program))
}

/// Unpacks it into `folder` and writes the script that starts it, `program`.
fn fetch(folder: &Path, program: &Path) -> Result<()> {
    for needed in ["apt-get", "dpkg-deb"] {
        if find_program(needed).is_none() {
            return Err(Error::input(format!(
                "QEMU 10 is unpacked from Debian's packages, and {needed} is not here: install QEMU 9 or later and pass --qemu PATH"
            )));
        }
    }
    eprintln!(
        "fetching QEMU 10 from bookworm-backports into {}",
        folder.display()
    );
    let apt = folder.join("apt");
    let configuration = configure(&apt)?;
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("APT_CONFIG", &configuration)
            .args(arguments)
            .stdout(Stdio::null());
        run(&mut command)
    };
    apt_get(&["update", "--quiet"])?;
    apt_get(&[
        "install",
        "--yes",
        "--quiet",
        "--download-only",
        "--no-install-recommends",
        "--target-release",
        "bookworm-backports",
        "qemu-system-x86",
    ])?;
    unpack(&apt.join("cache/archives"), &folder.join("root"))?;
    write_wrapper(program)
}

/// An apt of its own: sources, lists and downloads below `apt`. Only the list of
/// installed packages is the system's, so that just what is missing is fetched.
fn configure(apt: &Path) -> Result<PathBuf> {
    for folder in ["lists/partial", "cache/archives/partial", "parts"] {
        let folder = apt.join(folder);
        std::fs::create_dir_all(&folder).context(|| format!("creating {}", folder.display()))?;
    }
    let mut sources = String::new();
    for suite in ["bookworm", "bookworm-backports"] {
        // Writing to a string cannot fail.
        let _ = writeln!(sources, "deb [signed-by={KEYRING}] {ARCHIVE} {suite} main");
    }
    let here = apt.display();
    let configuration = format!(
        "Dir::Etc::sourcelist \"{here}/sources.list\";\n\
         Dir::Etc::sourceparts \"{here}/parts\";\n\
         Dir::Etc::parts \"{here}/parts\";\n\
         Dir::Etc::preferences \"{here}/preferences\";\n\
         Dir::Etc::preferencesparts \"{here}/parts\";\n\
         Dir::State::lists \"{here}/lists\";\n\
         Dir::State::status \"/var/lib/dpkg/status\";\n\
         Dir::Cache \"{here}/cache\";\n\
         Acquire::Languages \"none\";\n\
         APT::Sandbox::User \"\";\n\
         Debug::NoLocking \"true\";\n"
    );
    let file = apt.join("apt.conf");
    for (file, text) in [
        (&apt.join("sources.list"), &sources),
        (&file, &configuration),
    ] {
        std::fs::write(file, text).context(|| format!("writing {}", file.display()))?;
    }
    Ok(file)
}

fn unpack(archives: &Path, root: &Path) -> Result<()> {
    let doing = || format!("reading {}", archives.display());
    for entry in std::fs::read_dir(archives).context(doing)? {
        let package = entry.context(doing)?.path();
        if package
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            run(Command::new("dpkg-deb")
                .arg("--extract")
                .arg(&package)
                .arg(root))?;
        }
    }
    Ok(())
}

/// A script that finds libraries and firmware beside itself.
fn write_wrapper(program: &Path) -> Result<()> {
    const SCRIPT: &str = "\
#!/bin/sh
root=$(cd \"$(dirname \"$0\")\" && pwd)/root/usr
LD_LIBRARY_PATH=\"$root/lib/x86_64-linux-gnu\" exec \"$root/bin/qemu-system-x86_64\" \\
    -L \"$root/share/seabios\" -L \"$root/share/qemu\" \"$@\"
";
    let doing = || format!("writing {}", program.display());
    std::fs::write(program, SCRIPT).context(doing)?;
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).context(doing)
}
