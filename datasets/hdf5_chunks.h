#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ganymede {

/// One chunk as the index of an HDF5 dataset has it.
struct Hdf5Chunk {
  std::vector<std::int64_t> first;  ///< index of its first value, along each axis
  std::int64_t offset = 0;          ///< in the file, not counting a user block
  std::int64_t bytes = 0;           ///< as stored
  std::int64_t left_out = 0;        ///< bit i: filter i was not applied
};

/// "gzip", "lzf", "shuffle", "fletcher32" or what else the filters of a dataset are called, in the order of
/// writing. `properties` is the library's identifier of its creation properties.
std::vector<std::string> list_filters(std::int64_t properties);

/// All chunks that an HDF5 dataset with `axes` axes has, in any order, in time proportional to their number
/// (which H5Dget_chunk_info is not: it starts anew for each). `dataset` is the library's identifier. Part of
/// Hdf5File; uses the process's standard output, so that it must run where nobody else does, as in a guarded
/// process.
std::vector<Hdf5Chunk> list_chunks(std::int64_t dataset, std::size_t axes);

}  // namespace ganymede
