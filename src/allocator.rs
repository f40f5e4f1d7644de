//! Returns freed memory to the system.

/// Returns the pages of freed memory, which the allocator keeps for later, to the system.
#[cfg(all(unix, not(target_env = "musl")))]
pub fn purge() {
    let null = std::ptr::null_mut();
    // SAFETY: the name ends with NUL, and a command has neither an old nor a new value. 4096 is `MALLCTL_ARENAS_ALL`.
    unsafe { tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), null, null.cast(), null, 0) };
}

/// This platform's allocator decides by itself.
#[cfg(not(all(unix, not(target_env = "musl"))))]
pub fn purge() {}
