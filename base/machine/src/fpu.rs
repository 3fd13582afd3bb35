//! The x87 and SSE state of a processor, as FXSAVE lays it out.
use core::mem::{align_of, size_of};

/// 512 bytes in the layout of FXSAVE64 (Intel SDM vol. 1 §10.5, AMD APM vol. 2 §11.4).
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct FpState(pub [u8; 512]);

const _: () = assert!(size_of::<FpState>() == 512 && align_of::<FpState>() == 16);

impl FpState {
    /// The state after FNINIT with all registers zero and SSE exceptions masked.
    pub const INITIAL: Self = {
        let mut bytes = [0; 512];
        bytes[0] = 0x7f; // FCW = 0x037f
        bytes[1] = 0x03;
        bytes[24] = 0x80; // MXCSR = 0x1f80
        bytes[25] = 0x1f;
        Self(bytes)
    };
}
