//! What threads do, job by job: programs, plants, drivers, replicas and voters.
mod closing;
pub mod job;
pub mod plant;
pub mod replication;
pub mod task_jobs;
pub mod thread_entry;
