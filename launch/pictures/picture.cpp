#include "launch/pictures/picture.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "launch/pictures/kinds.h"

namespace ganymede {
namespace {

const std::vector<PictureKind> picture_table{
    {"grid", "the images in order [64]; also as a dataset or a folder", 64, 1, 0, {}, write_images},
    {"classes",
     "rows are classes, columns the latents of images [8]",
     8,
     1,
     0,
     {"images"},
     write_class_sheet},
    {"interpolation",
     "each row leads from an image to the next [9]",
     9,
     2,
     8,
     {"images", "path", "frames"},
     write_interpolation},
    {"film",
     "the same in time and back to the first [6]; X.png is an animated PNG, a folder has the frames",
     6,
     2,
     24,
     {"images", "path", "frames", "fps"},
     write_film},
    {"arithmetic",
     "sums of means of latents: --terms 3,8,12-5,9,14+7,2,4",
     0,
     0,
     0,
     {"terms", "spread"},
     write_arithmetic},
    {"neighbours",
     "each image [8] and those of --reference that are nearest to it",
     8,
     1,
     0,
     {"images", "reference", "features", "neighbours"},
     write_neighbours},
    {"codes",
     "of InfoGAN: rows are images [8], columns the values of --code, or of each code, one under another",
     8,
     1,
     10,
     {"images", "frames", "code"},
     write_codes},
    {"trajectory",
     "of a diffusion model: each row shows how an image [8] comes about, in --frames moments",
     8,
     1,
     8,
     {"images", "frames"},
     write_trajectories},
    {"guidance",
     "of a diffusion model: rows are images [10], columns the --scales of guidance",
     10,
     1,
     0,
     {"images", "scales"},
     write_guidance},
    {"mixing",
     "images [8] of StyleGAN: half of them in rows, with layers of the other half, in columns",
     8,
     2,
     0,
     {"images", "layers"},
     write_style_mixing},
};

const std::vector<Flag> flag_table{
    {"picture", "NAME", "what is made of the images, see below [grid]"},
    {"images", "3,17,5", "the images that a picture is made of, by index [the first --count]"},
    {"path", "slerp|lerp|w", "between latents: on a great circle, a line, or a line between styles [slerp]"},
    {"frames", "N", "from one image to the next [8 in a row, 24 of a film]; of a code that is a number [10]; of a trajectory [8]"},
    {"fps", "N", "frames a second of an animated PNG [24]"},
    {"terms", "A-B+C", "lists of images by index: sum of the means of their latents"},
    {"spread", "S", "of uniform noise that is added to the sum [0.25]"},
    {"reference", "IMAGES", "where neighbours are looked for: .h5, folder, zip or tar archive, .npz"},
    {"features", "pixels|FILE|random", "what is compared: pixels, or what a network says of them [pixels]"},
    {"neighbours", "K", "[5]"},
    {"code", "K", "which code varies, from 0 [all, one after another]"},
    {"scales", "W,...", "weights of the label [1,1.5,2,3,5]"},
    {"layers", "A-B", "layers that follow the column's styles, from 0 [0-3]"},
};

/// "classes, film, mixing"
std::string pictures_that_take(std::string_view flag) {
  std::vector<std::string_view> names;
  for (const PictureKind& picture : picture_table)
    if (std::ranges::find(picture.flags, flag) != picture.flags.end()) names.push_back(picture.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

void refuse_flags_of_others(const CommandLine& line, const PictureKind& picture) {
  for (const Flag& flag : flag_table)
    if (flag.name != "picture" && line.has(flag.name) &&
        std::ranges::find(picture.flags, flag.name) == picture.flags.end())
      fail(ExitCode::options, "--{} is for --picture {}, not {}: leave it out", flag.name,
           pictures_that_take(flag.name), picture.name);
  if (picture.count == 0 && line.has("count"))
    fail(ExitCode::options, "--count: --picture {} draws as many images as its terms name", picture.name);
  if (line.has("images") && line.has("count"))
    fail(ExitCode::options, "--images and --count both say which images: give one of them");
}

/// "4-7", or "4" for one.
void read_layers(const std::string& text, PictureOptions& options) {
  std::vector<std::int64_t> ends;
  std::string list = text;
  std::ranges::replace(list, '-', ',');
  OptionSchema schema;
  schema.add("--layers", ends, "", {0, 1000}, "");
  schema.apply({{"--layers", {list, "command line"}}});
  if (ends.empty() || ends.size() > 2 || ends.front() > ends.back())
    fail(ExitCode::options, "--layers {}: write the first and the last, 4-7", text);
  options.first_layer = ends.front();
  options.last_layer = ends.back();
}

/// "1,1.5,4"
void read_scales(const std::string& text, PictureOptions& options) {
  options.scales.clear();
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    double scale = 1;
    OptionSchema schema;
    schema.add("--scales", scale, "", {0, 1000}, "");
    schema.apply({{"--scales", {text.substr(begin, end - begin), "command line"}}});
    options.scales.push_back(scale);
    begin = end + 1;
  }
}

}  // namespace

std::vector<std::int64_t> PictureOptions::indices() const {
  if (!images.empty()) return images;
  std::vector<std::int64_t> first(static_cast<std::size_t>(count));
  std::iota(first.begin(), first.end(), 0);
  return first;
}

LatentImages& PictureJob::latents() const {
  auto* latents = dynamic_cast<LatentImages*>(&sampler);
  process.together([&] {
    if (!latents)
      fail(ExitCode::options,
           "this run's images are not drawn from latents: take --picture grid or neighbours");
  });
  return *latents;
}

std::span<const PictureKind> pictures() {
  return picture_table;
}

const PictureKind& find_picture(const std::string& name) {
  std::vector<std::string_view> names;
  for (const PictureKind& picture : picture_table) {
    if (name == picture.name) return picture;
    names.push_back(picture.name);
  }
  fail(ExitCode::options, "--picture '{}': give one of {}", name, fmt::join(names, ", "));
}

std::string picture_help() {
  std::string text = "\npictures (--picture), with the --count of images that each takes by default\n";
  for (const PictureKind& picture : picture_table)
    text += fmt::format("  {:<14} {}\n", picture.name, picture.help);
  return text;
}

std::vector<Flag> picture_flags() {
  return flag_table;
}

PictureOptions read_picture_options(const CommandLine& line, const PictureKind& picture) {
  refuse_flags_of_others(line, picture);
  PictureOptions options;
  OptionSchema schema;
  schema.add("--images", options.images, "", {0, 1e9}, "");
  schema.add("--path", options.path, {"slerp", "lerp", "w"}, "");
  schema.add("--spread", options.spread, "", {0, 100}, "");
  for (const char* name : {"images", "path", "spread"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  options.count = line.integer("count", picture.count, {static_cast<double>(picture.least_count), 1e9});
  if (!options.images.empty()) options.count = std::ssize(options.images);
  if (options.count < picture.least_count)
    fail(ExitCode::options, "--images: --picture {} needs {} images at least", picture.name,
         picture.least_count);
  options.frames = line.integer("frames", picture.frames, {2, 10000});
  options.per_second = line.integer("fps", options.per_second, {1, 240});
  if (picture.name == "arithmetic")
    options.terms =
        read_latent_terms(line.required("terms", "which images, 3,8,12-5,9,14+7,2,4 say, a mean each term"));
  if (picture.name == "neighbours")
    options.reference = line.required("reference", "where neighbours are looked for: the training data");
  options.features = line.value("features", options.features);
  options.neighbours = line.integer("neighbours", options.neighbours, {1, 100});
  options.code = line.integer("code", options.code, {line.has("code") ? 0.0 : -1.0, 1e6});
  if (line.has("layers")) read_layers(line.value("layers"), options);
  if (line.has("scales")) read_scales(line.value("scales"), options);
  return options;
}

}  // namespace ganymede
