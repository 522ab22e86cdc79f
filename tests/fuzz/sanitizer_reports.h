#pragma once

namespace ganymede {

/// Sanitizer reports about this program's own code in children that run_guarded() forks: for the caller these are an Error
/// like any other, since libhdf5, of which damaged files get the better, is what the children are for.
///
/// Call once, before anything is read.
void watch_children();

/// Whether there was a report since the last call.
bool children_were_reported();

}  // namespace ganymede
