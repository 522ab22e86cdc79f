#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ganymede {

/// The images of a source in the order in which they are packed, known before any of them is decoded.
struct SourceContents {
  std::vector<std::string> names = {};    ///< paths within the source, or empty where images have no names
  std::vector<std::int64_t> labels = {};  ///< one an image; -1 = none
  std::vector<std::string> class_names = {};         ///< class k is labelled k; may be empty
  std::map<std::string, std::int64_t> skipped = {};  ///< files left out, by reason: "hidden", ".txt", ...
};

/// Sorts the paths of a folder or an archive into images, classes and what to leave out.
///
/// The first folder of a path is its class, and classes are labelled by their sorted names; images without a
/// folder are labelled -1. Images come sorted by class, then by the rest of their path, both compared byte by
/// byte. Images are known by their extension (.jpg .jpeg .jpe .jfif .png, in any case). Hidden files and
/// __MACOSX are left out.
class ImageListing {
 public:
  enum class Kind {
    skipped,
    image,
    first_image,  ///< an image that comes before all others so far
  };

  /// `subdir` restricts the listing to the paths under this folder and is taken off them; empty: all.
  explicit ImageListing(std::string_view subdir);

  /// Notes a regular file by its path ('/' between folders).
  Kind add(std::string_view path);
  /// Notes something else that is left out.
  void skip(const std::string& reason) { ++contents_.skipped[reason]; }

  /// The sorted contents and, for each image in the order of add(), its index. Called once, last. Throws
  /// Error(dataset) naming `source` if there is no image, or a path twice.
  std::pair<SourceContents, std::vector<std::int64_t>> finish(std::string_view source);

 private:
  [[noreturn]] void fail_empty(std::string_view source) const;

  std::string prefix_;
  std::vector<std::string> paths_;
  std::int64_t first_ = -1;
  std::set<std::string> elsewhere_;  ///< folders outside `subdir`, for the message
  SourceContents contents_;
};

}  // namespace ganymede
