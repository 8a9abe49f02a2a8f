//! Living with a limited address space.
//!
//! The allocator of the GNU C library reserves 64 MB of address space for each
//! of its arenas, and has up to eight for each core: 1 GB on two cores, of
//! which a few MB are used. Where a user limits the address space (`ulimit -v`),
//! these reservations leave nothing for data, and the process aborts. The
//! library reads the bound on arenas from the environment before `main` runs,
//! and offers no other way without unsafe code. So under such a limit the
//! program starts itself once more, with that bound.

/// Sees to it that arenas leave address space for data, if that is limited.
/// Call it first in `main`.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn bound_arenas() {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use rustix::process::{Resource, getrlimit};

    const BOUND: &str = "MALLOC_ARENA_MAX";
    // The C library may take its own variables out of the environment; ours
    // remains, so that this happens once.
    const STARTED_AGAIN: &str = "NCPROP279_STARTED_AGAIN";

    if getrlimit(Resource::As).current.is_none()
        || env::var_os(BOUND).is_some()
        || env::var_os(STARTED_AGAIN).is_some()
    {
        return;
    }
    let mut arguments = env::args_os();
    let (Ok(program), Some(called)) = (env::current_exe(), arguments.next()) else {
        return;
    };
    // It returns only if it fails: the file may be gone, or a security policy
    // may forbid it. The program then goes on as it is.
    let _ = Command::new(program)
        .arg0(called)
        .args(arguments)
        .env(BOUND, "1")
        .env(STARTED_AGAIN, "1")
        .exec();
    // The attempt has made SIGPIPE fatal again, as it is for new programs.
    let ignored = Arc::new(AtomicBool::new(false));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGPIPE, ignored);
}

/// Allocators of other C libraries reserve little.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn bound_arenas() {}
