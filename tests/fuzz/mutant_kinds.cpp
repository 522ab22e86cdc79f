#include "tests/fuzz/mutant_kinds.h"

#include <ATen/ATen.h>

#include <limits>
#include <numeric>

#include "core/checkpoint_store.h"
#include "core/error.h"
#include "core/files.h"
#include "core/philox.h"
#include "datasets/dataset_writer.h"
#include "evaluation/npz_file.h"
#include "tests/core/saved_checkpoint.h"
#include "tests/fuzz/readers.h"
#include "tests/fuzz/scratch.h"

namespace ganymede {
namespace {

std::string contents_of(const std::filesystem::path& path) {
  return read_text_file(path, std::numeric_limits<std::int64_t>::max());
}

std::map<std::string, std::string> files_in(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().filename().string()] = contents_of(entry.path());
  return files;
}

/// 64 images and all that may come with them.
std::string dataset_bytes(ElementType type) {
  const ScratchFolder folder;
  const bool is_real = type != ElementType::uint8;
  const DatasetDescription description{.type = type,
                                       .count = 64,
                                       .channels = 3,
                                       .height = 8,
                                       .width = 8,
                                       .low = is_real ? -1. : 0.,
                                       .high = is_real ? 1. : 255.,
                                       .class_names = {"cat", "dog", "newt"},
                                       .provenance = {{"source", "mutants"}},
                                       .pyramid = !is_real,
                                       .sources = {.count = 64, .channels = 1, .paired = true},
                                       .embeddings = {.captions = 2, .numbers = 3}};
  const RandomStream stream({.seed = 1, .phase = "mutants"});
  const at::Tensor pixels = stream.uniform(0, 64, 3 * 8 * 8, at::kFloat);
  const at::Tensor stored = is_real ? pixels : (pixels * 255).to(at::kByte);
  const auto bytes = [](const at::Tensor& tensor) {
    return std::span(static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes());
  };
  const at::Tensor sources = (stream.uniform(64, 64, 8 * 8, at::kFloat) * 255).to(at::kByte);
  const at::Tensor embeddings = stream.normal(0, 64, 2 * 3, at::kFloat);
  std::vector<std::int64_t> labels(64);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int64_t>(i % 4) - 1;
  DatasetWriter writer(folder.path() / "a.h5", description);
  writer.write_images(0, bytes(stored));
  writer.write_sources(0, bytes(sources));
  writer.write_embeddings(0, {embeddings.const_data_ptr<float>(), static_cast<std::size_t>(embeddings.numel())});
  writer.write_labels(labels);
  writer.finish();
  return contents_of(folder.path() / "a.h5");
}

MutantKind of_one_file(const std::string& name, bool has_digests, const std::string& bytes,
                       std::uint64_t (*reader)(const std::filesystem::path&)) {
  return {name, has_digests, {{"file", bytes}}, {}, [=](const auto& folder) { return reader(folder / "file"); }};
}

/// Written by another program: kept among the seeds of the fuzzer.
MutantKind of_seed(const std::string& name, bool has_digests, const std::string& seed,
                   std::uint64_t (*reader)(const std::filesystem::path&)) {
  return of_one_file(name, has_digests, contents_of(std::filesystem::path(GANYMEDE_SOURCE "/tests/fuzz/corpus") / seed),
                     reader);
}

/// Whoever asks for weights knows their digest; the format itself has none.
MutantKind safetensors() {
  const ScratchFolder folder;
  const FileRecord record = write_safetensors(folder.path() / "file", some_tensors(1), {{"made_by", "mutants"}});
  return {"safetensors", true, files_in(folder.path()), {}, [=](const std::filesystem::path& there) {
            const std::uint64_t found = read_safetensors_file(there / "file");
            if (digest_of_file(there / "file") != record.digest) fail(ExitCode::checkpoint, "another digest");
            return found;
          }};
}

MutantKind checkpoint(const std::string& name, int ranks) {
  const ScratchFolder folder;
  const CheckpointStore store(folder.path(), 2);
  const auto saved = save(store, 7, some_tensors(1), ranks), later = save(store, 8, some_tensors(2), ranks);
  // In a folder whose name tells no step, as a copy may be.
  return {name, true, files_in(saved), files_in(later), read_checkpoint_folder};
}

std::string npz_bytes() {
  const ScratchFolder folder;
  write_npz(folder.path() / "a.npz", {.arrays = {{"images", at::arange(4 * 3 * 5 * 5).to(at::kByte).reshape({4, 3, 5, 5})},
                                                 {"labels", at::arange(4)},
                                                 {"mu", at::arange(6).to(at::kDouble)}},
                                      .texts = {{"protocol", "{}"}}});
  return contents_of(folder.path() / "a.npz");
}

}  // namespace

std::vector<MutantKind> mutant_kinds() {
  return {of_one_file("dataset", true, dataset_bytes(ElementType::uint8), read_dataset_file),
          of_one_file("dataset-real", true, dataset_bytes(ElementType::float32), read_dataset_file),
          of_seed("dataset-foreign", false, "dataset/chunked.h5", read_dataset_file),
          checkpoint("checkpoint", 2),
          checkpoint("checkpoint-alone", 1),
          safetensors(),
          of_seed("weights-zip", true, "weights/zip.pth", read_weights_file),
          of_seed("weights-legacy", false, "weights/legacy.pth", read_weights_file),
          of_seed("recipe", false, "options/all.cfg", read_recipe_file),
          of_one_file("npz", false, npz_bytes(), read_npz_file)};
}

}  // namespace ganymede
