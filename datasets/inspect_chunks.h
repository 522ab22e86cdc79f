#pragma once

#include "core/files.h"
#include "datasets/chunk_table.h"
#include "datasets/hdf5_file.h"

namespace ganymede {

/// The table of an array that is stored in chunks, after these are seen to be complete, to lie within the
/// file and to go through known filters only. The stored bytes of a few are read both through libhdf5 and by
/// their place. What cannot be read, or might be read wrongly, throws Error(dataset), naming file, object,
/// what was expected and what was found. Like inspect_file(), which calls it, for a guarded process.
ChunkTable inspect_chunks(const File& file, const Hdf5File& hdf5, const std::string& name,
                          const Hdf5Array& array);

/// What takes filters and chunks off a file, as far as the HDF5 library knows them.
inline constexpr const char* repack = "rewrite it as `h5repack -f NONE -l CONTI IN.h5 OUT.h5` does";

}  // namespace ganymede
