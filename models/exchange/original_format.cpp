#include "models/exchange/original_format.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>

#include "core/error.h"
#include "models/exchange/originals/adm_unet.h"
#include "models/exchange/originals/dit.h"
#include "models/exchange/originals/first_stage.h"

namespace ganymede {
namespace {

// One line a kind, each in models/exchange/originals/<name>.h.
constexpr OriginalFormat originals_table[] = {
    original_adm_unet,
    original_dit,
    original_first_stage,
};

bool is_average(std::string_view prefix) {
  return prefix == "ema." || prefix.find("_ema.") != prefix.npos || prefix.find(".ema.") != prefix.npos;
}

std::string without_dots(std::string text) {
  std::erase(text, '.');
  return text;
}

/// Latent diffusion's average of what is under `prefix`: "model.diffusion_model.a.b" is "model_ema.diffusion_modelab".
std::optional<OriginalWeights> dotless_average(OriginalWeights weights, const std::string& prefix,
                                               const std::set<std::string>& names) {
  constexpr std::string_view own = "model.diffusion_model.";
  if (!prefix.ends_with(own)) return std::nullopt;
  const std::string root = prefix.substr(0, prefix.size() - own.size()) + "model_ema.";
  for (auto& [in_file, name] : weights.names) {
    in_file = root + without_dots("diffusion_model." + name);
    if (!names.contains(in_file)) return std::nullopt;
  }
  return weights;
}

}  // namespace

std::span<const OriginalFormat> original_formats() {
  return originals_table;
}

OriginalWeights find_original(const std::vector<std::string>& names, std::string_view method, bool average,
                              const std::string& where) {
  std::vector<std::string_view> known;
  for (const OriginalFormat& format : originals_table) {
    if (format.method != method) continue;
    known.push_back(format.name);
    std::vector<std::string> prefixes;
    for (const std::string& name : names)
      if (name.ends_with(format.landmark))
        if (std::string prefix = name.substr(0, name.size() - format.landmark.size());
            prefix.empty() || prefix.ends_with('.'))
          prefixes.push_back(std::move(prefix));
    if (prefixes.empty()) continue;
    const auto wanted =
        std::ranges::find_if(prefixes, [&](const auto& prefix) { return is_average(prefix) == average; });
    const std::string prefix = wanted == prefixes.end() ? prefixes.front() : *wanted;
    OriginalWeights weights{format, {}};
    for (const std::string& name : names)
      if (name.starts_with(prefix)) weights.names.emplace_back(name, name.substr(prefix.size()));
    if (average && !is_average(prefix))
      if (auto found = dotless_average(weights, prefix, {names.begin(), names.end()})) weights = *std::move(found);
    for (const std::string& name : names)
      if (!format.beside.empty() && (name == format.beside || name.ends_with(fmt::format(".{}", format.beside))))
        weights.names.emplace_back(name, format.beside);
    return weights;
  }
  if (known.empty())
    fail(ExitCode::options, "{}: no file of weights is known of train.method = {}: give another --recipe", where, method);
  fail(ExitCode::checkpoint, "{} holds no network of train.method = {} that is known here: it may be {}",
       where, method, fmt::join(known, ", "));
}

}  // namespace ganymede
