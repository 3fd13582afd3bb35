//! The vendors' virtualization side by side, chosen by what the processor has.
use crate::guest::{Reach, Start};
use crate::memory::frames::{Frames, OutOfMemory};
use crate::svm::{self, SvmGuest};
use crate::vmx::{self, VmxGuest};
use tern_abi::boot;
use tern_units::HostPhysical;

/// Which virtualization this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// AMD-V.
    Amd,
    /// VT-x.
    Intel,
}

impl Vendor {
    /// The one of this processor.
    ///
    /// # Errors
    /// What is missing, as a line.
    pub fn find() -> Result<Self, &'static str> {
        if vmx::is_present() {
            return vmx::missing().map_or(Ok(Self::Intel), Err);
        }
        if svm::is_present() {
            return svm::missing().map_or(Ok(Self::Amd), Err);
        }
        Err(
            "the processor has neither VT-x nor AMD-V: use one that has, or turn virtualization \
             on in the firmware's setup",
        )
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amd => "AMD-V",
            Self::Intel => "VT-x",
        }
    }

    /// What guests are told.
    #[must_use]
    pub const fn for_guests(self) -> boot::Vendor {
        match self {
            Self::Amd => boot::Vendor::Amd,
            Self::Intel => boot::Vendor::Intel,
        }
    }

    /// Makes the next entry of this core's guest exit at once. For the handler of an NMI that came
    /// in the hypervisor. Under AMD-V there is nothing to do: it came between two exits because it
    /// was let in there, and was held back before.
    pub fn exit_at_once(self) {
        match self {
            Self::Amd => {}
            Self::Intel => vmx::exit_at_once(),
        }
    }

    /// Enables it on this core, with a page for the processor's own use.
    ///
    /// # Safety
    /// [`Vendor::find`] found it, and the page is this core's alone.
    pub unsafe fn enable(self, save_area: HostPhysical) {
        match self {
            // SAFETY: as the caller vouches.
            Self::Amd => unsafe { svm::enable(save_area) },
            // SAFETY: as the caller vouches.
            Self::Intel => unsafe { vmx::enable(save_area) },
        }
    }

    /// Builds a guest.
    ///
    /// # Errors
    /// If there is no memory left.
    pub fn build(
        self,
        frames: &mut Frames,
        reach: &Reach,
        start: Start,
    ) -> Result<AnyGuest, OutOfMemory> {
        match self {
            Self::Amd => SvmGuest::build(frames, reach, start).map(AnyGuest::Svm),
            Self::Intel => VmxGuest::build(frames, reach, start).map(AnyGuest::Vmx),
        }
    }
}

/// A guest of whichever vendor.
#[derive(Debug)]
pub enum AnyGuest {
    /// Under AMD-V.
    Svm(SvmGuest),
    /// Under VT-x.
    Vmx(VmxGuest),
}

impl AnyGuest {
    /// Returns the page of its control block.
    #[must_use]
    pub fn block(&self) -> HostPhysical {
        match self {
            Self::Svm(guest) => guest.block(),
            Self::Vmx(guest) => guest.block(),
        }
    }
}
