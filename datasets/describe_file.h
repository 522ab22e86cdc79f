#pragma once

#include <map>
#include <string>
#include <vector>

#include "datasets/dataset_layout.h"

namespace ganymede {

/// What a dataset file tells beyond its layout.
struct FileNotes {
  std::vector<std::string> links;                 ///< other names of /images, by which foreign tools find it
  std::map<std::string, std::string> provenance;  ///< how it was made: the root attributes that are present
};

/// Reads them from the one file of a layout that inspection has found sound. Like it, in a child process.
/// Throws Error(dataset) where the file cannot be read.
FileNotes describe_file(const DatasetLayout& layout);

}  // namespace ganymede
