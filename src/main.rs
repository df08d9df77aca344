//! The `muster` program; see [`muster::cli`].

// glibc's allocator takes twice the time to end thousands of sessions at once,
// and keeps the memory of a storm (docs/performance.md).
#[cfg(all(target_os = "linux", feature = "jemalloc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    muster::cli::main()
}
