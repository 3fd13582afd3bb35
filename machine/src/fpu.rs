//! The x87 and SSE state of a processor, as FXSAVE lays it out.
use core::arch::asm;
use core::mem::{align_of, size_of};

/// 512 bytes in the layout of FXSAVE64 (Intel SDM vol. 1 §10.5, AMD APM vol. 2 §11.4).
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct FpState {
    bytes: [u8; 512],
}

const _: () = assert!(size_of::<FpState>() == 512 && align_of::<FpState>() == 16);

impl FpState {
    /// The state after FNINIT with all registers zero and SSE exceptions masked.
    pub const INITIAL: Self = {
        let mut bytes = [0; 512];
        bytes[0] = 0x7f; // FCW = 0x037f
        bytes[1] = 0x03;
        bytes[24] = 0x80; // MXCSR = 0x1f80
        bytes[25] = 0x1f;
        Self { bytes }
    };

    /// Stores the processor's state here.
    #[inline]
    pub fn save(&mut self) {
        // SAFETY: 512 bytes, aligned, exclusively borrowed; the boot code set CR4.OSFXSR.
        unsafe {
            asm!("fxsave64 [{}]", in(reg) self.bytes.as_mut_ptr(), options(nostack, preserves_flags))
        };
    }

    /// Loads the processor's state from here.
    ///
    /// # Safety
    /// The bytes must be a state that FXRSTOR accepts (no reserved MXCSR bit set), and
    /// the caller must not rely on the FP registers that this overwrites.
    #[inline]
    pub unsafe fn restore(&self) {
        // SAFETY: 512 aligned bytes; the caller vouches for their content.
        unsafe {
            asm!("fxrstor64 [{}]", in(reg) self.bytes.as_ptr(), options(nostack, preserves_flags))
        };
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 512] {
        &self.bytes
    }

    /// A state from raw bytes, with the reserved bits of MXCSR cleared by `mask`
    /// (0xffff is right for every processor with SSE2 and denormals-are-zero).
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 512], mask: u32) -> Self {
        let mut state = Self { bytes: *bytes };
        let control = u32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]) & mask;
        state.bytes[24..28].copy_from_slice(&control.to_le_bytes());
        state
    }
}

impl Default for FpState {
    fn default() -> Self {
        Self::INITIAL
    }
}
