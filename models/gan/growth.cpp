#include "models/gan/growth.h"

#include <bit>
#include <cmath>
#include <sstream>

#include "core/error.h"

namespace ganymede {
namespace {

using ByResolution = std::map<std::int64_t, double>;

/// "4:128, 8:64" as {4: 128, 8: 64}.
ByResolution read_by_resolution(const std::string& key, const std::string& text) {
  ByResolution values;
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    std::istringstream parts(item);
    std::int64_t resolution = 0;
    double value = 0;
    char colon = 0;
    if (!(parts >> resolution >> colon >> value) || colon != ':' || !(parts >> std::ws).eof())
      fail(ExitCode::options, "{} = {}: expected RESOLUTION:VALUE by comma, such as 4:128, 8:64", key, text);
    if (!values.emplace(resolution, value).second)
      fail(ExitCode::options, "{} = {} names {} twice", key, text, resolution);
  }
  return values;
}

std::int64_t images_of(double kimg) {
  return std::llround(kimg * 1000);
}

}  // namespace

void GrowthOptions::describe(OptionSchema& schema) {
  schema.add("growth.from", from, "pixels", {0, 1024},
             "resolution that training begins with, doubled up to the networks'; 0: full-grown all along");
  schema.add("growth.fade_kimg", fade_kimg, "thousand images", {0, 1e6},
             "over which a resolution is faded in");
  schema.add("growth.stable_kimg", stable_kimg, "thousand images", {0.001, 1e6},
             "that each resolution is trained for between fades");
  schema.add("growth.batch", batch, {},
             "global batches by resolution, such as 4:128, 8:64; where none is named, train.batch");
  schema.add(
      "growth.lr", lr, {},
      "both players' learning rates by resolution, such as 128:1.5e-3; where none is named, their own");
}

void GrowthOptions::check(std::int64_t resolution) const {
  if (!wanted()) return;
  if (from < 4 || !std::has_single_bit(static_cast<std::uint64_t>(from)) || from > resolution)
    fail(ExitCode::options, "growth.from = {}: give a power of two from 4 to {}, or 0 for no growing", from,
         resolution);
  const auto check_named = [&](const char* key, const std::string& text, bool whole) {
    for (const auto& [named, value] : read_by_resolution(key, text)) {
      if (named < from || named > resolution || !std::has_single_bit(static_cast<std::uint64_t>(named)))
        fail(ExitCode::options, "{} names the resolution {}: the networks grow from {} to {} by doubling",
             key, named, from, resolution);
      if (!(value > 0 && value < 1e9) || (whole && value != std::floor(value)))
        fail(ExitCode::options, "{} gives {} at {}: expected a {} above 0", key, value, named,
             whole ? "whole number" : "number");
    }
  };
  check_named("growth.batch", batch, true);
  check_named("growth.lr", lr, false);
}

std::vector<Stage> GrowthOptions::stages(std::int64_t resolution, std::int64_t base_batch) const {
  const ByResolution batches = read_by_resolution("growth.batch", batch);
  std::vector<Stage> all;
  std::int64_t first = 0;
  for (std::int64_t present = from; present <= resolution; present *= 2) {
    const auto named = batches.find(present);
    all.push_back({first, named == batches.end() ? base_batch : static_cast<std::int64_t>(named->second),
                   resolution / present});
    first += images_of(stable_kimg) + (present > from ? images_of(fade_kimg) : 0);
  }
  return all;
}

double GrowthOptions::alpha(const Stage& stage, std::int64_t position) const {
  if (stage.first == 0 || fade_kimg == 0) return 1;
  return std::clamp(static_cast<double>(position - stage.first) / (fade_kimg * 1000), 0., 1.);
}

std::optional<double> GrowthOptions::learning_rate(std::int64_t resolution) const {
  const ByResolution rates = read_by_resolution("growth.lr", lr);
  const auto named = rates.find(resolution);
  return named == rates.end() ? std::nullopt : std::optional(named->second);
}

}  // namespace ganymede
