#pragma once

#include "core/manifest.h"
#include "datasets/companions.h"
#include "launch/process.h"
#include "models/method.h"

namespace ganymede {

/// What images are drawn from beside labels: the sources and embeddings of a dataset, as ImageSpec asks for them, or its
/// images themselves.

/// What a loader must give.
CompanionNeeds needs_of(const ImageSpec& spec);

/// Whether images are drawn from a dataset at all.
bool draws_from_dataset(const ImageSpec& spec);

/// Lets samplers take them from `dataset`, which they keep. Throws Error(dataset) where it has not what they need.
void set_conditions(SampleOptions& options, const ImageSpec& spec,
                    std::shared_ptr<const ImageDataset> dataset);
/// The same of a dataset that outlives them.
void set_conditions(SampleOptions& options, const ImageSpec& spec, const ImageDataset& dataset);

/// The dataset that images are drawn from.
struct Conditions {
  std::string digest;      ///< empty: nothing is needed
  std::int64_t count = 0;  ///< of its images
};
/// The same of `file` (--conditions) or, where that is empty, of the files that a checkpoint's run learned from.
/// Collective; throws AgreedError.
Conditions open_conditions(Process& process, SampleOptions& options, const ImageSpec& spec,
                           const std::string& file, const Manifest& manifest);

/// For a checkpoint's header: the files of a dataset.
nlohmann::json paths_of(const ImageDataset& dataset);

/// [N, C, H, W] with the source that each was made from on its left; as they are where these are of no colours that go
/// beside them.
at::Tensor beside_sources(const at::Tensor& images, const at::Tensor& sources);

}  // namespace ganymede
