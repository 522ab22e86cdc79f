#include "launch/training_pictures.h"

#include <ATen/ATen.h>

#include "core/files.h"
#include "core/image_grid.h"
#include "core/run_folder.h"
#include "datasets/companions.h"
#include "launch/captions.h"
#include "launch/conditions.h"
#include "launch/pictures/kinds.h"
#include "models/classifier_guidance.h"
#include "models/denoising_path.h"

namespace ganymede {
namespace {

std::filesystem::path path_of(const TrainingPictures& run, std::int64_t step, std::string_view kind = "") {
  return run.out / "samples" / RunFolder::sample_name(step, kind);
}

void write_if_it_fits(const TrainingPictures& run, const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& error) {
    if (error.code() != ExitCode::storage) throw;
    if (run.log) print_error(fmt::format("warning: {}; training goes on without this picture", error.what()));
  }
}

/// Sample beside its source and, where the dataset has pairs, the image that it should be.
at::Tensor in_context(const TrainingPictures& run, const SampleOptions& options, std::int64_t first,
                      const at::Tensor& samples) {
  if (!options.sources) return samples;
  const std::int64_t count = samples.size(0);
  at::Tensor row = samples;
  if (run.options.method->images().sources == SourceImages::paired)
    row = at::cat({samples, read_sources(run.dataset, first, count).to(samples.scalar_type())}, 3);
  return beside_sources(row, options.sources(first, count));
}

void write_samples(const TrainingPictures& run, Sampler& sampler, const SampleOptions& options, const Drawing& drawing,
                   std::int64_t step) {
  std::vector<at::Tensor> images;
  draw(run.process, sampler, drawing, [&](std::int64_t first, const at::Tensor& part, const at::Tensor&) {
    images.push_back(in_context(run, options, first, part));
  });
  run.process.together([&] {
    if (!run.log) return;
    write_if_it_fits(run, [&] {
      if (options.tokens)
        write_file_durably(
            run.out / "samples" / "captions.txt",
            caption_list(run.dataset, options.tokens(0, drawing.count), grid_columns(drawing)));
      write_grid(path_of(run, step), at::cat(images), grid_columns(drawing));
      run.log->samples(step, path_of(run, step));
    });
    for (const Player* player : run.method.players())
      run.log->weights(step, player->name(), player->weights(/*average=*/false));
  });
}

void write_picture(const TrainingPictures& run, Sampler& sampler, const Drawing& drawing, std::int64_t step,
                   const std::string& kind, const PictureOptions& options, void (*write)(const PictureJob& job)) {
  const auto out = path_of(run, step, kind);
  write_if_it_fits(run, [&] { write({run.process, sampler, run.options.method->samples(), drawing, options, out}); });
  run.process.together([&] {
    if (run.log && size_of_file(out)) write_if_it_fits(run, [&] { run.log->samples(step, out, kind); });
  });
}

}  // namespace

void write_training_pictures(const TrainingPictures& run, std::int64_t step) {
  if (dynamic_cast<const ClassifierTraining*>(&run.method)) return;  // it draws nothing
  const TrainOptions& train = run.options.train;
  SampleOptions options{.seed = static_cast<std::uint64_t>(train.seed)};
  const ImageSpec spec = run.options.method->images();
  run.process.together([&] { set_conditions(options, spec, run.dataset); });
  const auto sampler = run.method.sampler(options);
  const Drawing drawing{train.sample_count, 64, options.seed, every_class(spec.classes)};
  write_samples(run, *sampler, options, drawing, step);
  const auto* path = dynamic_cast<DenoisingPath*>(sampler.get());
  if (!path || !train.sample_paths) return;
  const std::int64_t rows = std::min<std::int64_t>(8, train.sample_count);
  write_picture(run, *sampler, drawing, step, "trajectory",
                {.count = rows, .frames = std::min<std::int64_t>(8, path->steps() + 1)}, write_trajectories);
  if (path->takes_guidance())
    write_picture(run, *sampler, drawing, step, "guidance",
                  {.count = std::min({train.sample_count, spec.classes, std::int64_t{10}}), .scales = {1, 2, 4}},
                  write_guidance);
}

}  // namespace ganymede
