#pragma once

#include <filesystem>

#include "launch/command_line.h"
#include "launch/draw.h"
#include "models/latent_arithmetic.h"
#include "models/latent_images.h"

namespace ganymede {

/// What the command line says of a picture, beside what images are drawn like.
struct PictureOptions {
  std::int64_t count = 0;                 ///< of the run's images that it is made of
  std::vector<std::int64_t> images = {};  ///< --images: which; empty: the first `count`
  std::string path = "slerp";             ///< slerp, lerp, w
  std::int64_t frames = 0;       ///< from one image to the next, or from one end of a code to the other
  std::int64_t per_second = 24;  ///< frames of a film
  std::vector<LatentTerm> terms = {};
  double spread = 0.25;
  std::filesystem::path reference = {};
  std::string features = "pixels";
  std::int64_t neighbours = 5;
  std::int64_t first_layer = 0, last_layer = 3;
  std::int64_t code = -1;  ///< -1: all of them
  std::vector<double> scales = {1, 1.5, 2, 3, 5};  ///< of guidance

  /// The images by index.
  std::vector<std::int64_t> indices() const;
};

/// What a picture is drawn with, and where it goes.
struct PictureJob {
  Process& process;
  Sampler& sampler;
  ImageSpec spec;
  Drawing drawing;
  PictureOptions options;
  std::filesystem::path out;
  std::string source = {};  ///< the checkpoint
  /// Told how many images there are of those to draw, or to look at; on rank 0; may be empty.
  std::function<void(std::int64_t done, std::int64_t total)> advance = {};

  /// The sampler, where images are drawn from latents. Throws AgreedError(options) where they are not. Collective.
  LatentImages& latents() const;
};

/// A kind of picture: --picture NAME.
struct PictureKind {
  std::string_view name;
  std::string_view help;
  std::int64_t count, least_count;      ///< --count where it is not given, and the least
  std::int64_t frames;                  ///< --frames where it is not given
  std::vector<std::string_view> flags;  ///< that it takes, of those that not all pictures take
  /// Draws and writes it. Collective; throws AgreedError for options that do not fit the run, before anything is drawn.
  void (*write)(const PictureJob& job);
};

std::span<const PictureKind> pictures();
/// Throws Error(options) that lists the names.
const PictureKind& find_picture(const std::string& name);
/// One line a picture.
std::string picture_help();

/// The flags that pictures add to those of `sample`.
std::vector<Flag> picture_flags();
/// Throws Error(options) for a flag that this picture does not take, or a value out of range.
PictureOptions read_picture_options(const CommandLine& line, const PictureKind& picture);

}  // namespace ganymede
