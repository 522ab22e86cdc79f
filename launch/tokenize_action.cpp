#include "launch/tokenize_action.h"

#include <algorithm>

#include "core/error.h"
#include "datasets/tokenize.h"
#include "launch/progress_line.h"
#include "launch/text.h"

namespace ganymede {
namespace fs = std::filesystem;

const char* const tokenize_usage =
    R"(usage: ganymede dataset tokenize DATA.h5 --vocabulary N|DIR|OTHER.h5 [OPTION ...]

Gives a dataset the tokens of its captions (/captions, UTF-8 strings [N], as h5py writes them), for networks with
diffusion.text = tokens: by byte-level pairs, learned from the captions, or by a vocabulary that is there. Without --out
the file is replaced by one that has them, as a whole.

)";

const std::vector<Flag> tokenize_flags{
    {"vocabulary", "N|DIR|OTHER.h5",
     "learn one of N tokens, 257 at least; or the folder of vocab.json and merges.txt, as GPT-2's; or a dataset's that "
     "has been tokenized"},
    {"length", "L", "tokens of a caption, an end among them; longer ones are cut [what the longest has]"},
    {"out", "OUT.h5", "write this file [in the place of DATA.h5]"},
    {"force", "", "replace OUT.h5 if it exists"},
    {"help", "", "this text"},
};

namespace {

TokenizeOptions read_options(const CommandLine& line) {
  if (line.positional.size() != 1)
    fail(ExitCode::options, "ganymede dataset tokenize takes DATA.h5, {} given: see --help",
         line.positional.size());
  TokenizeOptions options{.data = line.positional[0], .out = line.value("out", line.positional[0])};
  const std::string vocabulary =
      line.required("vocabulary", "how many tokens to learn, or the folder of a vocabulary");
  if (std::ranges::all_of(vocabulary, [](unsigned char c) { return std::isdigit(c) != 0; }))
    options.size = line.integer("vocabulary", 0, {257, 1e7});
  else
    options.vocabulary = vocabulary;
  options.length = line.has("length") ? line.integer("length", 0, {1, 65536}) : 0;
  std::error_code unknown;  // what cannot be looked at cannot be written either: the writer says why
  if (line.has("out") && !line.has("force") && fs::exists(options.out, unknown))
    fail(ExitCode::options, "{} exists: choose another name, or --force to replace it", options.out.string());
  return options;
}

}  // namespace

int tokenize_action(const CommandLine& line) {
  const TokenizeOptions options = read_options(line);
  TokenizeReport report;
  {
    ProgressLine progress(stderr, 10);
    report = tokenize(options, [&](std::int64_t done, std::int64_t total) {
      progress.advance(done, total);
      progress.show(fmt::format("{} of {} images, {} left", with_thousands(done), with_thousands(total),
                                duration_text(progress.seconds_left())));
    });
  }
  fmt::print("{}: captions of {} images, tokens: {}, of a vocabulary of {}; the longest has {}, {} cut\n",
             options.out.string(), with_thousands(report.images), report.length, report.vocabulary,
             report.longest, with_thousands(report.cut));
  fmt::print("  for training: --diffusion.text tokens --text.length {} --text.vocabulary {}\n", report.length,
             report.vocabulary);
  return 0;
}

}  // namespace ganymede
