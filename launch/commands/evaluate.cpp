#include <cstdlib>

#include "core/files.h"
#include "core/metrics/error_bars.h"
#include "core/signals.h"
#include "core/strict_json.h"
#include "evaluation/statistics_file.h"
#include "launch/commands.h"
#include "launch/conditions.h"
#include "launch/flag_command.h"
#include "launch/guiding_classifier.h"
#include "launch/loaded_run.h"
#include "launch/mixed_average.h"
#include "launch/progress_line.h"
#include "launch/sampler_flags.h"
#include "launch/scoring.h"
#include "launch/text.h"
#include "launch/threads.h"
#include "models/features/lpips.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

constexpr const char* usage =
    R"(usage: ganymede evaluate --from RUN|CHECKPOINT|IMAGES --reference IMAGES|STATS.npz [OPTION ...]
       mpirun -n RANKS ganymede evaluate ...

Scores images against a reference; IMAGES is a dataset (.h5), a folder, a zip or tar archive, or an
.npz. The same score at any number of ranks and any batch size, with all that it depends on (--json).
SIGUSR1 ends it with exit code 75; nothing is kept of what it has seen.

)";

const std::vector<Flag> own_flags{
    {"from", "RUN|CHECKPOINT|IMAGES", "what is scored: a run draws images, of its newest sound checkpoint"},
    {"reference", "IMAGES|STATS.npz",
     "what it is compared with; STATS.npz has mu and sigma, as pytorch-fid's"},
    {"metrics", "NAME,...", "see below [fid]"},
    {"count", "N", "images that are scored, of files a random subset [all of files, 50000 of a run]"},
    {"reference-count", "N", "images of the reference, a random subset [all]"},
    {"features", "FILE|random", "the network that looks at images: its weights, or a random one [random]"},
    {"resize", "pytorch|tf1|clean|none", "to the network's size as which tool does [the network's own]"},
    {"precision", "fp32|bf16", "of the network; bf16 is a preview, not comparable [fp32]"},
    {"batch", "B", "images a rank looks at at once [64]"},
    {"seed", "S", "of drawn images, subsets and splits [0]"},
    {"repeats", "R", "draw R times, with seeds S, S + 1, ...: mean and standard error [1]"},
    {"blocks", "B", "blocks of images that the error bar of FID comes from, at most 64, 1 for none [10]"},
    {"subsets", "N", "of KID [100]"},
    {"subset-size", "N", "images of a KID subset [1000, or as many as there are]"},
    {"splits", "N", "of the inception score [10]"},
    {"neighbours", "K", "of pr and dc [3 and 5]"},
    {"lpips", "VGG16[,HEADS]", "weights of the network that lpips and ppl look with, in one file or two"},
    {"json", "OUT.json", "write scores and protocol there"},
    {"statistics", "OUT.npz", "write mean and covariance of what is scored there, for use as a reference"},
    {"cache", "DIR|none",
     "where statistics of references are kept [$XDG_CACHE_HOME/ganymede, ~/.cache/ganymede]"},
    {"classes", "all|3,7", "of a run: image i has the (i mod n)-th of these n classes [random classes]"},
    {"conditions", "FILE.h5",
     "of a run: dataset whose sources or embeddings are drawn from [the run's data]; of an autoencoder's, "
     "whose "
     "images are reconstructed [the reference]"},
    {"truncation", "T", "of a run: draw z from a normal truncated to +-T [not truncated]"},
    {"psi", "PSI", "of a run of networks with styles: w drawn towards its mean by this factor [1]"},
    {"ema", "true|false", "of a run: the moving average of the weights [true]"},
    sigma_rel_flag(),
    {"batchnorm", "running|batch|standing", "of a run: statistics that batch norm uses [running]"},
    {"watchdog.seconds", "S", "without progress until the job ends, 0 for never [300]"},
    {"device", "auto|cpu|cuda", "what computes [auto]"},
    {"help", "", "this text"},
};

/// With those of a run's sampler before --help.
const std::vector<Flag> flags = with_sampler_flags(own_flags);

struct Request {
  fs::path from, reference, json, statistics;
  std::vector<const Metric*> metrics;
  std::int64_t count = 0, repeats = 1;
  SampleOptions drawing;
  double sigma_rel = 0;  ///< of an average that is made now; 0 = the run's own
  Settings sampler;  ///< options of the run's own that are to be others
  ClassifierRequest classifier;
  std::string classes, conditions, device = "auto", lpips;
  ExtractorOptions extractor;
  EvaluatorOptions evaluator;
  double watchdog_seconds = TrainOptions{}.watchdog_seconds;
};

fs::path default_cache() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder)
    return fs::path(folder) / "ganymede";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache" / "ganymede";
  return {};
}

/// Flags with choices or ranges, by the rules of options.
void read_choices(const CommandLine& line, Request& request, std::string& precision) {
  OptionSchema schema;
  schema.add("--truncation", request.drawing.truncation, "", {0, 100}, "");
  schema.add("--psi", request.drawing.psi, "", {-2, 2}, "");
  schema.add("--ema", request.drawing.ema, "");
  schema.add("--watchdog.seconds", request.watchdog_seconds, "s", {0, 1e6}, "");
  schema.add("--batchnorm", request.drawing.batch_norm, {"running", "batch", "standing"}, "");
  schema.add("--device", request.device, {"auto", "cpu", "cuda"}, "");
  schema.add("--precision", precision, {"fp32", "bf16"}, "");
  std::string resize = "none";
  schema.add("--resize", resize, {"pytorch", "tf1", "clean", "none"}, "");
  for (const char* name :
       {"truncation", "psi", "ema", "batchnorm", "watchdog.seconds", "device", "precision", "resize"})
    if (line.has(name)) schema.apply({{fmt::format("--{}", name), {line.value(name), "command line"}}});
  if (line.has("resize")) request.extractor.resize = resize;
}

Request read_request(const CommandLine& line) {
  if (!line.positional.empty()) fail(ExitCode::options, "unexpected argument '{}'", line.positional.front());
  Request request;
  request.from = line.required("from", "a run, a checkpoint, or images");
  request.reference = line.value("reference");
  request.json = line.value("json");
  request.statistics = line.value("statistics");
  if (line.has("metrics") || request.statistics.empty())
    request.metrics = read_metrics(line.value("metrics", "fid"));
  request.count = line.integer("count", 0, {1, 1e9});
  request.repeats = line.integer("repeats", 1, {1, 1000});
  request.classes = line.value("classes");
  request.conditions = line.value("conditions");
  request.lpips = line.value("lpips");
  request.sampler = sampler_settings(line);
  request.sigma_rel = read_sigma_rel(line);
  request.classifier = read_classifier(line);
  std::string precision = "fp32";
  read_choices(line, request, precision);
  if (request.sigma_rel > 0) request.drawing.ema = false;  // it takes the weights' place
  request.extractor.file = line.value("features", "random");
  request.extractor.bf16 = precision == "bf16";

  EvaluatorOptions& evaluator = request.evaluator;
  evaluator.metrics = request.metrics;
  evaluator.statistics = !request.statistics.empty();
  evaluator.seed = static_cast<std::uint64_t>(line.integer("seed", 0, {0, 9e15}));
  evaluator.batch = line.integer("batch", 64, {1, 1e6});
  evaluator.blocks = line.integer("blocks", 10, {1, 64});
  evaluator.reference_count = line.integer("reference-count", 0, {1, 1e9});
  evaluator.cache = line.has("cache") ? fs::path(line.value("cache")) : default_cache();
  if (evaluator.cache == "none") evaluator.cache.clear();
  MetricOptions& metric = evaluator.metric;
  metric.seed = evaluator.seed;
  metric.kid_subsets = line.integer("subsets", metric.kid_subsets, {1, 1e6});
  metric.kid_subset_size = line.integer("subset-size", 0, {2, 1e6});
  metric.is_splits = line.integer("splits", metric.is_splits, {1, 1e6});
  metric.pr_neighbours = line.integer("neighbours", metric.pr_neighbours, {1, 1000});
  metric.dc_neighbours = line.integer("neighbours", metric.dc_neighbours, {1, 1000});
  return request;
}

/// What is scored: files, or what a run draws with one seed after another.
class Scored {
 public:
  Scored(Process& process, const Request& request)
      : process_(process), request_(request), options_(request.drawing) {
    if (process.from_root([&] { return is_run(request.from) ? "run" : "images"; }) == "run") {
      run_ = std::make_unique<LoadedRun>(process, request.from, request.device, request.sampler);
      if (request.sigma_rel > 0) average_ = run_->take_average(process, request.sigma_rel);
      classifier_ = std::make_unique<GuidingClassifier>(process, request.classifier, request.device);
      spec_ = classifier_->with_classes(run_->images());
      // Reconstructions are of the reference, whose images they stand beside.
      const bool own = spec_.sources == SourceImages::own;
      const std::string extension = request.reference.extension().string();
      const bool reference =
          own && request.conditions.empty() && (extension == ".h5" || extension == ".hdf5");
      const std::string conditions = reference ? request.reference.string() : request.conditions;
      conditions_ = open_conditions(process, options_, spec_, conditions, run_->checkpoint().manifest);
      const std::int64_t drawn = request.count > 0 ? request.count : 50'000;
      drawing_ = {own ? conditions_.count : drawn, request.evaluator.batch, 0, {}, spec_.classes};
      count_ = own ? request.count : drawn;
      process.together([&] {
        drawing_.classes = read_classes(request.classes, spec_.classes);
        run_->options().method->check_sampling(request.drawing);
      });
    } else {
      process.use_device(request.device, "--device", false);
      process.together([&] {
        if (!request.conditions.empty())
          fail(ExitCode::options, "--conditions is what a run draws from: leave it out for images");
        if (request.repeats > 1) fail(ExitCode::options, "--repeats draws anew: it needs a run, not images");
        if (!request.sampler.empty())
          fail(ExitCode::options, "--{} is how a run draws: leave it out for images",
               request.sampler.begin()->first);
        if (request.sigma_rel > 0)
          fail(ExitCode::options, "--ema-sigma-rel is of a run's weights: leave it out for images");
        if (!request.classifier.from.empty())
          fail(ExitCode::options, "--classifier is how a run draws: leave it out for images");
      });
      images_ = open_images(process, request.from);
    }
  }

  /// The images of repetition `r`. Collective.
  ImageSet& images(std::int64_t r) {
    if (!run_) return *images_;
    options_.seed = drawing_.seed = request_.evaluator.seed + static_cast<std::uint64_t>(r);
    sampler_ = run_->method().sampler(options_);
    classifier_->guide(process_, *sampler_);
    nlohmann::json details =
        drawing_details(options_, drawing_, run_->options(),
                        std::ranges::any_of(run_->method().players(), &Player::has_average));
    if (!average_.is_null()) details["average"] = average_;
    details["step"] = run_->checkpoint().manifest.step;
    if (!conditions_.digest.empty()) details["conditions"] = conditions_.digest;
    if (const nlohmann::json guide = classifier_->details(); !guide.is_null()) details["classifier"] = guide;
    process_.together([&] {
      images_ = drawn_images(*sampler_, drawing_, classifier_->with_classes(run_->samples()),
                             request_.from.lexically_normal().filename().string(), std::move(details));
    });
    return *images_;
  }
  /// How many are scored, 0 for all.
  std::int64_t count() const { return run_ ? count_ : request_.count; }

 private:
  Process& process_;
  const Request& request_;
  SampleOptions options_;
  Conditions conditions_;
  std::int64_t count_ = 0;
  std::unique_ptr<LoadedRun> run_;
  nlohmann::json average_;  // what --ema-sigma-rel has made; else null
  std::unique_ptr<GuidingClassifier> classifier_;
  ImageSpec spec_;
  Drawing drawing_;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<ImageSet> images_;
};

/// Several draws as one: means, with the standard errors of the means.
Evaluation averaged(const std::vector<Evaluation>& draws) {
  Evaluation result = draws.front();
  if (draws.size() == 1) return result;
  for (std::size_t s = 0; s < result.scores.size(); ++s) {
    std::vector<double> values;
    for (const Evaluation& draw : draws) values.push_back(draw.scores[s].value);
    const Estimate estimate = repeated_draws(values);
    result.scores[s] = {result.scores[s].name,
                        estimate.value,
                        estimate.standard_error,
                        {{"error", "standard error of the mean over draws"}, {"draws", values}}};
  }
  result.protocol["repeats"] = draws.size();
  return result;
}

void print_result(const Evaluation& evaluation) {
  const nlohmann::json& protocol = evaluation.protocol;
  fmt::print("{}", score_table(evaluation));
  const auto side = [&](const char* name) {
    if (!protocol.contains(name)) return;
    const nlohmann::json& set = protocol[name];
    const std::string count =
        set.contains("count") ? with_thousands(set["count"].get<std::int64_t>()) + " of " : std::string();
    fmt::print("{:<14} {}{}\n", name, count, set.value("name", ""));
  };
  side("images");
  side("reference");
  const nlohmann::json& extractor = protocol["extractor"];
  fmt::print("{:<14} {}, {}, resize {}, {}\n", "features", extractor["name"].get<std::string>(),
             extractor["digest"].get<std::string>(), extractor["resize"].get<std::string>(),
             extractor["precision"].get<std::string>());
  for (const std::string& warning : evaluation.warnings) print_error("warning: " + warning);
}

ExitCode evaluate(Process& process, Request request) {
  process.watch(request.watchdog_seconds);
  set_threads(process, 0);
  process.together([&] {
    // A place that cannot be written shows before hours of work.
    for (const fs::path& path : {request.json, request.statistics})
      if (process.is_root() && !path.empty()) check_writable(path);
  });
  ProgressLine line(stderr, 10);
  EvaluatorOptions& options = request.evaluator;
  options.note = [&](std::string_view activity) { process.note(activity); };
  options.warn = [](const std::string& text) { print_error("warning: " + text); };
  options.stop = stop_requested;
  options.advance = [&](std::string_view what, std::int64_t done, std::int64_t total) {
    if (!process.is_root()) return;
    if (done == 0) return line.start(0);
    line.advance(done, total);
    const double each = static_cast<double>(process.size());
    line.show(fmt::format("{}: {} of {}, {:.1f} images/s, {} left", what,
                          with_thousands(done * process.size()), with_thousands(total * process.size()),
                          line.rate() * each, duration_text(line.seconds_left())));
  };

  Scored scored(process, request);
  request.extractor.device = process.device();
  std::unique_ptr<FeatureExtractor> extractor;
  std::shared_ptr<const Lpips> lpips;
  process.together([&] {
    extractor = make_feature_extractor(request.extractor);
    if (request.lpips.empty()) return;
    lpips = std::make_shared<Lpips>(read_lpips(request.lpips, process.device()));
    options.metric.lpips = lpips.get();
  });
  Evaluator evaluator(process.world(), *extractor, options);
  std::unique_ptr<ImageSet> reference;
  if (!request.reference.empty()) {
    const bool statistics =
        process.from_root([&] { return holds_statistics(request.reference) ? "yes" : "no"; }) == "yes";
    const bool images_needed = std::ranges::any_of(
        request.metrics, [](const Metric* metric) { return metric->needs.reference_images(); });
    // ADM's files hold both: metrics that compare images take these.
    const bool has_images = statistics && images_needed && process.from_root([&] {
      return holds_images(request.reference) ? "yes" : "no";
    }) == "yes";
    if (statistics && !has_images) {
      ReferenceStatistics made;
      process.together([&] {
        if (process.is_root()) made = read_statistics(request.reference);
      });
      broadcast_statistics(process.world(), made);
      process.together([&] { evaluator.set_reference(std::move(made)); });
    } else {
      reference = open_images(process, request.reference);
      evaluator.set_reference(*reference);
    }
  }
  ImageSet& first = scored.images(0);
  process.together([&] { evaluator.check(first, scored.count()); });

  const auto keep_statistics = [&](const ReferenceStatistics& made) {
    process.together([&] {
      if (process.is_root()) write_statistics(request.statistics, made);
    });
    if (process.is_root()) fmt::print("{:<14} {}\n", "statistics", request.statistics.string());
  };
  if (request.metrics.empty()) {
    score_together(
        [&] {
          const ReferenceStatistics made = evaluator.statistics_of_images(first, scored.count());
          line.finish();
          keep_statistics(made);
        },
        process.is_root());
    return ExitCode::done;
  }

  std::vector<Evaluation> draws;
  for (std::int64_t r = 0; r < request.repeats; ++r) {
    ImageSet& images = r == 0 ? first : scored.images(r);
    score_together([&] { draws.push_back(evaluator.evaluate(images, scored.count())); }, process.is_root());
  }
  line.finish();
  const Evaluation evaluation = averaged(draws);
  process.together([&] {
    if (!process.is_root()) return;
    // First on the terminal: a disk that is full by now costs no scores.
    print_result(evaluation);
    std::fflush(stdout);
    if (!request.json.empty()) write_file_durably(request.json, json_text(evaluation.to_json(), 2) + "\n");
  });
  if (draws.front().statistics) keep_statistics(*draws.front().statistics);
  return ExitCode::done;
}

std::string metric_help() {
  std::string text = "\nmetrics\n";
  for (const Metric& metric : metrics()) text += fmt::format("  {:<14} {}\n", metric.name, metric.help);
  return text;
}

}  // namespace

int evaluate_command(std::span<const std::string> arguments) {
  return run_flag_command(
      arguments, flags, [] { return usage + flag_help(flags) + metric_help(); }, read_request, evaluate);
}

}  // namespace ganymede
