#include "datasets/describe_file.h"

#include <nlohmann/json.hpp>

#include "datasets/guarded_process.h"
#include "datasets/hdf5_file.h"

namespace ganymede {
namespace {

std::string read_notes(const DatasetLayout& layout) {
  const FileLayout& place = layout.files.front();
  const Hdf5File file = Hdf5File::open(place.path);
  nlohmann::json notes{{"links", nlohmann::json::array()}, {"provenance", nlohmann::json::object()}};
  for (const std::string& name :
       {std::string("images"), std::string("imgs"), fmt::format("data{}x{}", layout.height, layout.width)})
    if (file.contains(name) && file.describe(name).offset == place.images.offset)
      notes["links"].push_back("/" + name);
  for (const char* attribute :
       {"writer", "source", "subdir", "crop", "resizer", "sources_from", "embeddings_from", "first_stage",
        "latents_of", "latent_mean", "latent_deviation", "uuid"})
    if (const auto text = file.text("/", attribute)) notes["provenance"][attribute] = *text;
  // An attribute may hold anything.
  return notes.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

FileNotes describe_file(const DatasetLayout& layout) {
  const auto notes =
      nlohmann::json::parse(run_guarded(layout.files.front().path, {}, [&] { return read_notes(layout); }));
  return {notes["links"], notes["provenance"]};
}

}  // namespace ganymede
