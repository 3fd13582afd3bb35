//! Addresses, one type for each address space, and page numbers.
use core::fmt;

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;

macro_rules! address_space {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The address with this numeric value.
            #[must_use]
            pub const fn new(address: u64) -> Self {
                Self(address)
            }

            /// Its numeric value.
            #[must_use]
            pub const fn as_u64(self) -> u64 {
                self.0
            }

            /// The address `bytes` further on, or `None` past the end of the space.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(address) => Some(Self(address)),
                    None => None,
                }
            }

            /// The start of the page that holds this address.
            #[must_use]
            pub const fn page_start(self) -> Self {
                Self(self.0 & !(PAGE_SIZE as u64 - 1))
            }

            /// Whether it is a multiple of `alignment`, a power of two.
            #[must_use]
            pub const fn is_aligned(self, alignment: u64) -> bool {
                self.0 & (alignment - 1) == 0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, concat!($prefix, "{:#x}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "{:#x}", self.0)
            }
        }
    };
}

address_space!(
    /// An address in the physical memory of a sandbox, before nested paging.
    GuestPhysical, "guest:"
);
address_space!(
    /// An address in the physical memory of the machine.
    HostPhysical, "host:"
);
address_space!(
    /// An address in a program's virtual memory. It is an allegation until checked.
    UserVirtual, "user:"
);

/// A page of a replicated program: its position in the program's page list, the
/// same in every replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNumber(pub u32);

impl fmt::Display for PageNumber {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}
