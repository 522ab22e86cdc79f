#pragma once

#include "evaluation/evaluator.h"
#include "launch/draw.h"
#include "launch/process.h"
#include "launch/recipe.h"
#include "models/features/lpips.h"
#include "models/method.h"

namespace ganymede {

/// What the command `evaluate` and training share: images wherever they come from, and errors that all ranks
/// agree on.

/// The images of a dataset, a folder, an archive or an .npz. Collective; throws AgreedError.
std::unique_ptr<ImageSet> open_images(Process& process, const std::filesystem::path& path);

/// Whether the path is a run folder or a checkpoint, and no folder of images.
bool is_run(const std::filesystem::path& path);

/// The images that a sampler draws as `drawing` says; `sampler` and `drawing` must outlive it. `details` go
/// into the protocol.
std::unique_ptr<ImageSet> drawn_images(Sampler& sampler, const Drawing& drawing, const ImageSpec& spec,
                                       std::string name, nlohmann::json details);
/// What a protocol says of drawn images: EMA, truncation, statistics of batch norm, labels, seed, and the options of
/// the run's sampler, if it has such (solver, steps, guidance, ...), under "sampler".
nlohmann::json drawing_details(const SampleOptions& options, const Drawing& drawing, const RunOptions& run,
                               bool has_average);

/// Runs collective work of the room `evaluation`: a SharedError becomes an AgreedError. Collective.
void score_together(const std::function<void()>& work, bool is_root);

/// "fid, kid" as a list of metrics. Throws Error(options) for one that there is not, or that is named twice.
std::vector<const Metric*> read_metrics(const std::string& text);

/// LPIPS from "vgg16.pth,heads.pth", or one file with both. Throws Error(checkpoint).
Lpips read_lpips(const std::string& files, at::Device device);

/// One line a score: name, value, error.
std::string score_table(const Evaluation& evaluation);
/// "fid 12.3, kid 0.01"
std::string score_line(const Evaluation& evaluation);

}  // namespace ganymede
