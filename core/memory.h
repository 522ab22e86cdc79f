#pragma once

namespace ganymede {

/// Lets the C library keep what is freed for the next request of its size: a step's tensors come and go, and each that
/// is handed back to the system costs a page fault for every 4 KiB when it is asked for again. What a process holds at
/// its most hardly grows by it. Must be called before threads start; nothing outside glibc.
void keep_freed_memory();

}  // namespace ganymede
