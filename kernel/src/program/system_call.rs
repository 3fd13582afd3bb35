//! The system calls: see `tern_abi::system_call`.
use super::process::{Outcome, Process};
use super::user_slice::UserSlice;
use crate::{say, thread, trace};
use tern_abi::system_call::{LOG_MAX, SystemCall, SystemCallError};
use tern_trace::Event;

/// Serves the system call that `process` has just made. `None` if it goes on at once,
/// with the result in RAX.
pub fn serve(process: &mut Process) -> Option<Outcome> {
    let number = process.context().result();
    let (first, second) = process.context().arguments();
    trace::record(Event::SystemCall {
        thread: thread::current().0,
        number: u32::try_from(number).unwrap_or(u32::MAX),
    });
    let result = match SystemCall::try_from(number) {
        Ok(SystemCall::JobDone) => return Some(Outcome::JobDone),
        Ok(SystemCall::Exit) => return Some(Outcome::Exit(first)),
        // Where system calls arrive these two are served already.
        Ok(SystemCall::Null | SystemCall::GiveWay) => Ok(()),
        Ok(SystemCall::Log) => log(process, UserSlice::alleged(first, second)),
        Err(error) => Err(error),
    };
    let value = match result {
        Ok(()) => 0,
        Err(error) => error as i64 as u64,
    };
    process.context_mut().set_result(value);
    None
}

fn log(process: &Process, text: UserSlice) -> Result<(), SystemCallError> {
    if !process.may_log() {
        return Err(SystemCallError::NotPermitted);
    }
    let mut buffer = [0; LOG_MAX as usize];
    let bytes = text.read(process, &mut buffer)?;
    let text = core::str::from_utf8(bytes).map_err(|_| SystemCallError::BadArgument)?;
    say!("{}: {}", process.name(), text.trim_end_matches('\n'));
    Ok(())
}
