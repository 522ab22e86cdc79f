#include <ATen/ATen.h>

#include <optional>

#include "core/animated_png.h"
#include "core/error.h"
#include "core/files.h"
#include "core/image_file.h"
#include "core/image_grid.h"
#include "launch/image_sink.h"
#include "launch/pictures/cells.h"
#include "launch/pictures/kinds.h"
#include "launch/pictures/stops.h"

namespace ganymede {
namespace {

constexpr std::int64_t most_frames = 100'000;
constexpr std::int64_t shown_pixels = 256;  ///< small frames of an animated PNG are enlarged to at most this

std::span<const std::uint8_t> values_of(const at::Tensor& frame) {
  return {frame.const_data_ptr<std::uint8_t>(), static_cast<std::size_t>(frame.numel())};
}

/// Where frames [H, W, C] go.
class FilmSink {
 public:
  FilmSink(const PictureJob& job, std::int64_t frames)
      : out_(job.out), channels_(job.spec.channels < 3 ? 1 : 3) {
    if (out_.extension() == ".png") {
      check_writable(out_);
      factor_ = std::max<std::int64_t>(1, shown_pixels / std::max(job.spec.height, job.spec.width));
      film_.emplace(job.spec.width * factor_, job.spec.height * factor_, channels_, frames,
                    job.options.per_second);
    } else {
      create_empty_folder(out_);
    }
  }

  void take(std::int64_t first, const at::Tensor& bytes) {
    const at::Tensor frames = bytes.narrow(1, 0, channels_)
                                  .repeat_interleave(factor_, 2)
                                  .repeat_interleave(factor_, 3)
                                  .permute({0, 2, 3, 1})
                                  .contiguous();
    for (std::int64_t i = 0; i < frames.size(0); ++i) {
      const at::Tensor frame = frames[i];
      if (film_)
        film_->add(values_of(frame));
      else
        write_png(out_ / fmt::format("{:06}.png", first + i), values_of(frame), frame.size(1), frame.size(0),
                  channels_);
    }
  }

  void finish() {
    if (film_) film_->finish(out_);
  }

 private:
  std::filesystem::path out_;
  std::int64_t channels_, factor_ = 1;
  std::optional<AnimatedPng> film_;
};

void check_film(const PictureJob& job) {
  if (job.out.extension() == ".h5" || is_no_folder(job.out))
    fail(ExitCode::options, "--out {}: a film is an animated .png file, or a folder of its frames",
         job.out.string());
  if (const std::int64_t frames = job.options.count * job.options.frames; frames > most_frames)
    fail(ExitCode::options, "a film of {} frames: {} are the most, ask for fewer images or --frames", frames,
         most_frames);
  if (job.drawing.classes.size() > 1)
    fail(ExitCode::options, "--classes: a film is of one class, not {}", job.drawing.classes.size());
}

}  // namespace

void write_film(const PictureJob& job) {
  job.process.together([&] { check_film(job); });
  const Stops stops(job);
  const std::int64_t count = job.options.count, each = job.options.frames, frames = count * each;
  std::optional<FilmSink> sink;
  job.process.together([&] {
    if (job.process.is_root()) sink.emplace(job, frames);
  });
  draw_cells(
      job, frames,
      [&](std::int64_t first, std::int64_t run) {
        const at::Tensor places = at::arange(first, first + run, at::kLong);
        const at::Tensor from = places.div(each, "floor");
        const at::Tensor t = places.remainder(each).to(at::kDouble) / static_cast<double>(each);
        return stops.between(from, (from + 1).remainder(count), t, stops.labels()[0].expand({run}));
      },
      [&](std::int64_t first, const at::Tensor& bytes) { sink->take(first, bytes); });
  job.process.together([&] {
    if (sink) sink->finish();
  });
}

}  // namespace ganymede
