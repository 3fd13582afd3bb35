//! A bootable disc of a system, for PCs and for emulators with firmware: GRUB, the
//! hypervisor and the boot module.
use crate::build;
use crate::error::{Context, Error, Result};
use crate::plant::secret;
use crate::{image, setup, workspace};
use std::path::Path;
use std::process::Command;
use tern_config::System;
use tern_plant::tag::Key;

/// What GRUB does: no menu, no wait.
const CONFIGURATION: &str = "\
set timeout=0
menuentry \"Tern\" {
    multiboot2 /boot/tern-hypervisor
    module2 /boot/system.img
}
";

/// Writes a disc that boots `system` to `output`, with the hypervisor, kernels and
/// programs as [`build::build`] has left them. It starts from a CD or a USB stick, by
/// BIOS and, where GRUB's modules for it are installed, by UEFI.
///
/// # Errors
/// If GRUB's tools cannot be installed, or fail; as [`image::assemble`].
pub fn write(system: &System, output: &Path) -> Result<()> {
    let tool = setup::ensure_disc_tools()?;
    // Named for the disc: others may be written at the same time, of the same system too.
    let name = output.file_name().unwrap_or_default().display();
    let folder = workspace::target().join(format!("iso/{name}-{}", std::process::id()));
    let boot = folder.join("boot/grub");
    std::fs::create_dir_all(&boot).context(|| format!("creating {}", boot.display()))?;
    let result = fill(&folder, system, &secret::beside(output)?).and_then(|()| {
        let made = Command::new(&tool)
            .arg("-o")
            .arg(output)
            .arg(&folder)
            .output()
            .context(|| format!("starting {}", tool.display()))?;
        if made.status.success() {
            return Ok(());
        }
        // It tells much, also when all is well.
        let said = String::from_utf8_lossy(&made.stderr);
        let (tool, status) = (tool.display(), made.status);
        Err(Error::failure(format!("{tool}: {status}\n{}", said.trim())))
    });
    // What is left behind is in the build's own folder.
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn fill(folder: &Path, system: &System, secret: &Key) -> Result<()> {
    let boot = folder.join("boot");
    let hypervisor = build::output_directory().join(build::HYPERVISOR);
    std::fs::copy(&hypervisor, boot.join(build::HYPERVISOR))
        .context(|| format!("copying {}", hypervisor.display()))?;
    let file = boot.join("grub/grub.cfg");
    std::fs::write(&file, CONFIGURATION).context(|| format!("writing {}", file.display()))?;
    image::write_with(system, secret, &boot.join("system.img"))
}
