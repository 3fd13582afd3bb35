//! Memory that a program alleges to have: an address and a length that mean nothing
//! until they are checked against its pages.
use super::process::Process;
use tern_abi::system_call::SystemCallError;
use tern_units::{PAGE_SIZE, UserVirtual};

/// An unchecked range of a program's memory. The kernel reads it page by page through
/// its own mapping, never at the program's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserSlice {
    address: UserVirtual,
    bytes: u64,
}

impl UserSlice {
    /// What a program passed as address and length.
    #[must_use]
    pub const fn alleged(address: u64, bytes: u64) -> Self {
        Self {
            address: UserVirtual::new(address),
            bytes,
        }
    }

    /// Copies the range into `buffer` and returns the part that was filled.
    ///
    /// # Errors
    /// [`SystemCallError::BadArgument`] if it is longer than `buffer` or any of it is
    /// not the program's.
    pub fn read<'a>(
        self,
        process: &Process,
        buffer: &'a mut [u8],
    ) -> Result<&'a [u8], SystemCallError> {
        let length = usize::try_from(self.bytes).map_err(|_| SystemCallError::BadArgument)?;
        let target = buffer
            .get_mut(..length)
            .ok_or(SystemCallError::BadArgument)?;
        let mut done = 0;
        while done < length {
            let at = self
                .address
                .checked_add(done as u64)
                .ok_or(SystemCallError::BadArgument)?;
            let page = process.page_at(at).ok_or(SystemCallError::BadArgument)?;
            let offset = (at.as_u64() - at.page_start().as_u64()) as usize;
            let count = (length - done).min(PAGE_SIZE - offset);
            let source = &process.page(page)[offset..offset + count];
            target[done..done + count].copy_from_slice(source);
            done += count;
        }
        Ok(target)
    }
}
