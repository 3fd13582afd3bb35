//! Why a machine cannot be divided as a description wants it, in lines that say what to do.
use super::ports::PortObstacle;
use crate::loader::LoadError;
use crate::memory::frames::OutOfMemory;
use alloc::string::String;
use core::fmt;
use tern_config::layout::LEAST_DOORBELL;
use tern_config::partition::PlanError;

/// Why the description cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionError {
    /// Memory is used up.
    OutOfMemory(OutOfMemory),
    /// A guest cannot be loaded.
    Load {
        /// The sandbox.
        sandbox: String,
        /// Its file.
        file: String,
        /// Why.
        error: LoadError,
    },
    /// Memory cannot be divided so.
    Plan(PlanError),
    /// Two sandboxes on one core.
    SharedCore {
        /// The second one.
        sandbox: String,
    },
    /// Two sandboxes on threads of one core, on a processor that leaks between them.
    LeakyThreads {
        /// The first one.
        first: String,
        /// The second one.
        second: String,
    },
    /// A doorbell that rings too often.
    Doorbell {
        /// Its channel.
        channel: String,
    },
    /// A device at ports that no sandbox may have.
    Ports {
        /// The device.
        device: String,
        /// Why not.
        obstacle: PortObstacle,
    },
}

impl From<OutOfMemory> for PartitionError {
    fn from(error: OutOfMemory) -> Self {
        Self::OutOfMemory(error)
    }
}

impl From<PlanError> for PartitionError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}

impl fmt::Display for PartitionError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory(error) => error.fmt(out),
            Self::Load {
                sandbox,
                file,
                error,
            } => {
                write!(out, "sandbox \"{sandbox}\": file \"{file}\" {error}")
            }
            Self::Plan(error) => error.fmt(out),
            Self::SharedCore { sandbox } => {
                write!(
                    out,
                    "sandbox \"{sandbox}\": its core has another sandbox: give it its own"
                )
            }
            Self::Doorbell { channel } => write!(
                out,
                "channel \"{channel}\": its doorbell's interval is below {} us: make it longer \
                 and rebuild the image",
                LEAST_DOORBELL / 1000
            ),
            Self::Ports { device, obstacle } => write!(out, "device \"{device}\": {obstacle}"),
            Self::LeakyThreads { first, second } => write!(
                out,
                "sandboxes \"{first}\" and \"{second}\" are on the two threads of one core, and \
                 this processor leaks between them (L1TF or MDS): switch SMT off in the firmware, \
                 or give them other cores"
            ),
        }
    }
}
