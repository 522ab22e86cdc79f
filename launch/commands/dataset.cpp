#include <fmt/ranges.h>

#include "core/error.h"
#include "core/options.h"
#include "datasets/describe_file.h"
#include "datasets/image_dataset.h"
#include "datasets/pack.h"
#include "datasets/reading_rate.h"
#include "datasets/verify_dataset.h"
#include "launch/actions.h"
#include "launch/commands.h"
#include "launch/damages.h"
#include "launch/encode_action.h"
#include "launch/progress_line.h"
#include "launch/text.h"
#include "launch/tokenize_action.h"

namespace ganymede {
namespace {

constexpr const char* usage = R"(usage: ganymede dataset pack SRC OUT.h5 [OPTION ...]   make a dataset
       ganymede dataset info FILE.h5 ...               say what a dataset holds
       ganymede dataset verify FILE.h5 ...             read all of it and check every digest
       ganymede dataset encode IMAGES.h5 OUT.h5 --first-stage RUN   latents, by all ranks
       ganymede dataset tokenize DATA.h5 --vocabulary N|DIR   tokens of captions

)";

constexpr const char* pack_usage = R"(usage: ganymede dataset pack SRC OUT.h5 [OPTION ...]

Packs SRC into a dataset: a folder, zip or tar (also compressed) of JPEG and PNG images in
class folders; an .npz with images (or arr_0) and, if there are, labels and class_names; or
an HDF5 file (.h5, .hdf5) that training can read too, as it is or compressed.

)";

const std::vector<Flag> pack_flags{
    {"subdir", "DIR", "only the images under this folder of SRC"},
    {"size", "S", "pixels, 1 to 16384: every image becomes S x S [as they are]"},
    {"crop", "center|none", "cut to the central square first [center with --size, else none]"},
    {"filter", "lanczos|box", "how to resize [lanczos]"},
    {"channels", "1|3", "grey or RGB [as the first image]"},
    {"range", "LOW,HIGH", "values of floating point data that stand for -1 and 1 [smallest, largest]"},
    {"pyramid", "", "copies at half the size, a quarter, ... 4 x 4 too: what networks that grow read faster"},
    {"pairs", "colourise|superres|inpaint",
     "a second image set made of the images, that a method translates"},
    {"factor", "F", "of superres: F x F pixels become one, repeated [4]"},
    {"hole", "PART",
     "of inpaint: height and width of the hole over the image's, which has the mean around it [0.5]"},
    {"hole-place", "center|random", "of inpaint [center]"},
    {"sources", "SRC", "a second image set: of any images, or with --paired"},
    {"paired", "", "the sources belong to the images of the same path, without its extension"},
    {"embeddings", "FILE.npy",
     "[N, E] or [N, K, E] floats of the N images, as packed: by class folder, then path"},
    {"captions", "FILE.txt", "a line an image, in the same order"},
    {"force", "", "replace OUT.h5 if it exists"},
    {"help", "", "this text"},
};

const std::vector<Flag> file_flags{{"help", "", "this text"}};

ValueRange parse_range(const std::string& text) {
  const std::size_t comma = text.find(',');
  if (comma == std::string::npos) fail(ExitCode::options, "--range {}: two numbers, LOW,HIGH", text);
  return {parse_number("--range", {text.substr(0, comma), "command line"}),
          parse_number("--range", {text.substr(comma + 1), "command line"})};
}

PackOptions pack_options(const CommandLine& line) {
  if (line.positional.size() != 2)
    fail(ExitCode::options, "ganymede dataset pack takes SRC and OUT.h5, {} given: see --help",
         line.positional.size());
  PackOptions options{
      .source = line.positional[0], .out = line.positional[1], .subdir = line.value("subdir")};
  if (line.has("size")) options.size = line.integer("size", 0, {1, 16384});
  const auto choice = [&](const char* name, std::string value, const std::vector<std::string>& choices) {
    OptionSchema schema;
    schema.add(fmt::format("--{}", name), value, choices, "");
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
    return value;
  };
  const std::string crop = choice("crop", "center", {"center", "none"});
  if (line.has("crop")) options.crop = crop == "center" ? Crop::center : Crop::none;
  options.filter = choice("filter", "lanczos", {"lanczos", "box"}) == "box" ? Filter::box : Filter::lanczos;
  const std::string channels = choice("channels", "3", {"1", "3"});
  if (line.has("channels")) options.channels = channels == "1" ? 1 : 3;
  if (line.has("range")) options.range = parse_range(line.value("range"));
  options.pyramid = line.has("pyramid");
  using Kind = PairOptions::Kind;
  const std::map<std::string, Kind> kinds{
      {"colourise", Kind::colourise}, {"superres", Kind::superres}, {"inpaint", Kind::inpaint}};
  if (line.has("pairs"))
    options.pairs.kind = kinds.at(choice("pairs", "inpaint", {"colourise", "superres", "inpaint"}));
  if (line.has("factor") && options.pairs.kind != Kind::superres)
    fail(ExitCode::options, "--factor is of --pairs superres: leave it out");
  if ((line.has("hole") || line.has("hole-place")) && options.pairs.kind != Kind::inpaint)
    fail(ExitCode::options, "--hole and --hole-place are of --pairs inpaint: leave them out");
  options.pairs.factor = line.integer("factor", 4, {2, 16384});
  if (line.has("hole")) {
    OptionSchema schema;
    schema.add("--hole", options.pairs.hole, "", {0, 1}, "");
    schema.apply({{"--hole", {line.value("hole"), "command line"}}});
  }
  options.pairs.random_hole = choice("hole-place", "center", {"center", "random"}) == "random";
  options.sources = line.value("sources");
  options.paired = line.has("paired");
  options.embeddings = line.value("embeddings");
  options.captions = line.value("captions");
  options.force = line.has("force");
  return options;
}

/// Two spaces and the name, or nothing where the class has none.
std::string class_name(std::int64_t label, const std::vector<std::string>& names) {
  if (label < 0) return "  (no class)";
  const auto k = static_cast<std::size_t>(label);
  return k < names.size() ? "  " + names[k] : "";
}

/// One line a class, without end for none.
void print_classes(const std::map<std::int64_t, std::int64_t>& counts,
                   const std::vector<std::string>& names) {
  for (const auto& [label, count] : counts)
    fmt::print("  {:>6} {:>12} images{}\n", label, with_thousands(count), class_name(label, names));
}

int pack_command(const CommandLine& line) {
  const PackOptions options = pack_options(line);
  PackReport report;
  {
    ProgressLine progress(stderr, 10);
    report = pack(options, [&](const PackProgress& now) {
      progress.show(fmt::format("{} of {} images, {:.0f} images/s, {} left", with_thousands(now.done),
                                with_thousands(now.total), now.images_per_second(),
                                duration_text(now.seconds_left())));
    });
  }
  const DatasetDescription& made = report.dataset;
  fmt::print("{}: {} images, {} x {} x {} {} in [{}, {}]; {:.1f} s, {:.0f} images/s\n", options.out.string(),
             with_thousands(made.count), made.channels, made.height, made.width, name_of(made.type), made.low,
             made.high, report.seconds, static_cast<double>(made.count) / report.seconds);
  if (made.sources.count > 0)
    fmt::print("  {} {} sources, {} channels\n", with_thousands(made.sources.count),
               made.sources.paired ? "paired" : "unpaired", made.sources.channels);
  if (made.embeddings.numbers > 0)
    fmt::print("  embeddings of {} numbers, {} an image\n", made.embeddings.numbers,
               std::max<std::int64_t>(1, made.embeddings.captions));
  print_classes(report.labels, made.class_names);
  for (const auto& [reason, count] : report.skipped)
    fmt::print("  skipped {} {}\n", with_thousands(count), reason);
  if (report.enlarged > 0)
    fmt::print("  {} images were smaller and have been enlarged\n", with_thousands(report.enlarged));
  return 0;
}

/// For a shell.
std::string quoted(const std::string& word) {
  const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:,@";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string text = "'";
  for (const char letter : word) text += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return text + "'";
}

std::string storage_text(const FileLayout& file) {
  const std::string order = file.channels_last ? "[N, H, W, C]" : "[N, C, H, W]";
  if (file.image_chunks.empty()) return order + ", contiguous";
  std::int64_t stored = 0;
  for (const std::int64_t bytes : file.image_chunks.bytes) stored += bytes;
  const std::vector<std::string>& filters = file.image_chunks.filters;
  return fmt::format("{}, {} chunks of [{}], {}, {} as stored", order,
                     with_thousands(static_cast<std::int64_t>(file.image_chunks.bytes.size())),
                     fmt::join(file.image_chunks.chunk, ", "),
                     filters.empty() ? "no filter" : fmt::format("{}", fmt::join(filters, ", ")),
                     byte_text(stored));
}

std::string reading_text(const ImageDataset& dataset) {
  const ReadingRate rate = predict_reading(dataset);
  std::string text = fmt::format("about {} images/s in training order on one thread",
                                 with_thousands(static_cast<std::int64_t>(rate.images_per_second)));
  if (rate.held_bytes > dataset.cache_bytes())
    text += fmt::format("; about {} from {} ranks on, whose memory together holds the {} of images in use",
                        with_thousands(static_cast<std::int64_t>(rate.decoded_per_second)),
                        (rate.held_bytes - 1) / dataset.cache_bytes() + 1, byte_text(rate.held_bytes));
  return text;
}

/// What makes of a foreign file one that is read as fast as can be and shows damage.
std::string repack_command(const std::string& path) {
  const std::filesystem::path file(path);
  const std::filesystem::path out = file.parent_path() / (file.stem().string() + "-packed.h5");
  return fmt::format("ganymede dataset pack {} {}", quoted(path), quoted(out.string()));
}

void print_info(const std::string& path) {
  const std::string layout_text = ImageDataset::inspect({path});
  const DatasetLayout layout = layout_from_json(layout_text);
  const ImageDataset dataset = ImageDataset::attach(layout_text);
  const FileNotes notes = describe_file(layout);
  const FileLayout& file = layout.files.front();
  const auto line = [](std::string_view name, const std::string& text) {
    fmt::print("  {:<10} {}\n", name, text);
  };
  fmt::print("{}\n", path);
  line("images", fmt::format("{} of {} x {} x {} (C x H x W), {} in [{}, {}], {}",
                             with_thousands(dataset.size()), layout.channels, layout.height, layout.width,
                             name_of(layout.type), layout.low, layout.high, byte_text(file.images.bytes)));
  if (!dataset.levels().empty())
    line("pyramid", fmt::format("copies of {} pixels", fmt::join(dataset.levels(), ", ")));
  if (const ImageDataset* sources = dataset.sources())
    line("sources", fmt::format("{} of {} x {} x {} uint8, {}{}", with_thousands(sources->size()),
                                sources->channels(), sources->height(), sources->width(),
                                dataset.has_paired_sources() ? "paired" : "unpaired",
                                sources->has_digests() ? "" : ", no digests"));
  if (const ImageDataset* embeddings = dataset.embeddings())
    line("embeddings",
         fmt::format("{} numbers {}, {} an image{}", embeddings->width(), name_of(embeddings->type()),
                     embeddings->height(), embeddings->has_digests() ? "" : ", no digests"));
  if (const ImageDataset* tokens = dataset.tokens())
    line("tokens", fmt::format("{} an image, of a vocabulary of {}{}", tokens->width(), tokens->high() + 1,
                               tokens->has_digests() ? "" : ", no digests"));
  line("file", byte_text(file.size));
  line("storage", storage_text(file));
  line("reading", reading_text(dataset));
  line("digests", dataset.has_digests()
                      ? fmt::format("XXH3-64 of each of {} blocks of {}",
                                    with_thousands(file.images.blocks()), byte_text(file.images.block_bytes))
                      : "none: damage cannot be told");
  if (!dataset.has_digests()) line("repack", repack_command(path));
  if (!notes.links.empty()) line("links", fmt::format("{}", fmt::join(notes.links, ", ")));
  for (const auto& [name, text] : notes.provenance) line(name, text);
  std::map<std::int64_t, std::int64_t> counts;
  for (const std::int64_t label : dataset.labels()) ++counts[label];
  line("classes", with_thousands(dataset.classes()));
  print_classes(counts, dataset.class_names());
}

int info_command(const CommandLine& line) {
  for (const std::string& path : line.positional) print_info(path);
  return 0;
}

void verify_file(const std::string& path) {
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  VerifiedDataset verified;
  {
    ProgressLine progress(stderr, 10);
    verified = verify_dataset({path}, threads, [&](std::int64_t done, std::int64_t total) {
      progress.advance(done, total);
      progress.show(fmt::format("{}: {} of {}, {} left", path, byte_text(done), byte_text(total),
                                duration_text(progress.seconds_left())));
    });
  }
  fmt::print("{}: {} images, {} in {} blocks, {}\n", path, with_thousands(verified.images),
             byte_text(verified.bytes), with_thousands(verified.blocks),
             verified.has_digests ? "every digest right" : "readable, but without digests to check");
}

int verify_command(const CommandLine& line) {
  Damages damages(ExitCode::dataset);
  for (const std::string& path : line.positional) damages.check([&] { verify_file(path); });
  damages.report();
  return 0;
}

const Action actions[] = {
    {"pack", pack_usage, pack_flags, "SRC and OUT.h5", pack_command},
    {"info", usage, file_flags, "a file", info_command},
    {"verify", usage, file_flags, "a file", verify_command},
    {"encode", encode_usage, encode_flags, "IMAGES.h5 and OUT.h5", encode_action},
    {"tokenize", tokenize_usage, tokenize_flags, "DATA.h5", tokenize_action},
};

}  // namespace

int dataset_command(std::span<const std::string> arguments) {
  return run_action("dataset", usage, actions, arguments);
}

}  // namespace ganymede
