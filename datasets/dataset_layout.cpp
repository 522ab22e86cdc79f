#include "datasets/dataset_layout.h"

#include <nlohmann/json.hpp>

namespace ganymede {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(BlockedExtent, offset, bytes, block_bytes)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(ChunkTable, shape, chunk, element_bytes, filters, offsets, bytes, left_out)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FileLayout, path, size, modified, inode, name, count, images, image_chunks,
                                   channels_last, image_digests, labels, label_chunks, label_digests,
                                   fingerprint)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(VocabularyText, vocab, merges)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(DatasetLayout, type, channels, height, width, low, high, class_names,
                                   levels, files, sources, embeddings, tokens, vocabulary, paired)

std::string to_json(const DatasetLayout& layout) {
  // Of a path that is not UTF-8 the bytes are replaced: opening it fails then, and the message shows them.
  return nlohmann::json(layout).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

DatasetLayout layout_from_json(const std::string& text) {
  return nlohmann::json::parse(text).get<DatasetLayout>();
}

}  // namespace ganymede
