#include "evaluation/statistics_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/strict_json.h"
#include "evaluation/npz_file.h"

namespace ganymede {
namespace {

const std::vector<std::string> known{"mu",     "sigma", "half",    "mu_s",  "sigma_s",
                                     "half_s", "trace", "trace_s", "count", "protocol"};

void put(NpzContents& contents, const FeatureStatistics& part, const std::string& suffix) {
  contents.arrays["mu" + suffix] = part.mean;
  contents.arrays["sigma" + suffix] = part.covariance;
  contents.arrays["half" + suffix] = part.fitted.half;
  contents.arrays["trace" + suffix] = at::full({}, part.fitted.trace, at::kDouble);
  contents.arrays["count"] = at::full({}, part.fitted.count, at::kLong);
}

/// Whether H H' can be Sigma [D, D]: its diagonal is compared, which costs no product.
bool is_half_of(const at::Tensor& half, double trace, const at::Tensor& covariance) {
  const std::int64_t dimension = covariance.size(0);
  if (!half.defined() || half.dim() != 2 || half.size(0) != dimension || half.size(1) > dimension)
    return false;
  const at::Tensor variances = covariance.diagonal();
  const double sum = variances.sum().item<double>();
  return std::abs(trace - sum) <= 1e-9 * sum &&
         at::allclose(half.square().sum(1), variances, 1e-6, 1e-9 * sum / static_cast<double>(dimension));
}

/// The parts of one kind, or nothing; `path` for messages.
std::optional<FeatureStatistics> part_of(const NpzContents& contents, const std::string& suffix,
                                         const std::string& path) {
  const auto find = [&](const std::string& name) {
    const auto found = contents.arrays.find(name);
    return found == contents.arrays.end() ? at::Tensor{} : found->second;
  };
  const at::Tensor mean = find("mu" + suffix), covariance = find("sigma" + suffix);
  if (!mean.defined() || !covariance.defined()) return std::nullopt;
  const auto shape_text = [](const at::Tensor& tensor) { return c10::str(tensor.sizes()); };
  if (mean.dim() != 1 || covariance.dim() != 2 || covariance.size(0) != mean.size(0) ||
      covariance.size(1) != mean.size(0) || mean.size(0) == 0)
    fail(ExitCode::dataset, "{}: mu{} is {} and sigma{} {}: [D] and [D, D] are expected", path, suffix,
         shape_text(mean), suffix, shape_text(covariance));
  if (!mean.isfinite().all().item<bool>() || !covariance.isfinite().all().item<bool>())
    fail(ExitCode::dataset, "{}: mu{} or sigma{} holds numbers that are not finite: make it anew", path,
         suffix, suffix);
  const at::Tensor counted = find("count"), half = find("half" + suffix), trace = find("trace" + suffix);
  const std::int64_t count = counted.defined() && counted.numel() == 1 ? counted.item().toLong() : 0;
  FeatureStatistics part{mean.to(at::kDouble), covariance.to(at::kDouble), {}};
  const bool has_half = trace.defined() && trace.numel() == 1 && contents.texts.contains("protocol") &&
                        is_half_of(half, trace.item().toDouble(), part.covariance);
  part.fitted = has_half ? Gaussian{part.mean, half, trace.item().toDouble(), count}
                         : Gaussian::of(part.mean, part.covariance, count);
  return part;
}

}  // namespace

void write_statistics(const std::filesystem::path& path, const ReferenceStatistics& statistics) {
  NpzContents contents;
  if (statistics.pool) put(contents, *statistics.pool, "");
  if (statistics.spatial) put(contents, *statistics.spatial, "_s");
  contents.texts["protocol"] = json_text(statistics.protocol);
  write_npz(path, contents);
}

ReferenceStatistics read_statistics(const std::filesystem::path& path) {
  const NpzContents contents = read_npz(path, known);
  ReferenceStatistics statistics;
  statistics.pool = part_of(contents, "", path.string());
  statistics.spatial = part_of(contents, "_s", path.string());
  if (!statistics.pool && !statistics.spatial)
    fail(ExitCode::dataset, "{} holds no mu and sigma: numpy.savez(file, mu=..., sigma=...)", path.string());
  const auto text = contents.texts.find("protocol");
  if (text != contents.texts.end()) {
    statistics.protocol = parse_strictly(text->second, ExitCode::dataset, path.string() + ":protocol");
    if (!statistics.protocol.is_object())
      fail(ExitCode::dataset, "{}: its protocol is no JSON object: make it anew", path.string());
  } else {
    statistics.protocol = {
        {"kind", "foreign statistics"},
        {"name", path.filename().string()},
        {"digest", with_code(ExitCode::dataset, [&] { return hex(digest_of_file(path)); })},
        {"note", "the file does not say by which network, resize or images it was made"}};
  }
  return statistics;
}

bool holds_statistics(const std::filesystem::path& path) {
  if (path.extension() != ".npz" || !std::filesystem::is_regular_file(path)) return false;
  const auto names = npz_names(path);
  return std::ranges::count(names, "mu") + std::ranges::count(names, "sigma") == 2;
}

bool holds_images(const std::filesystem::path& path) {
  const auto names = npz_names(path);
  return std::ranges::count(names, "images") + std::ranges::count(names, "arr_0") > 0;
}

}  // namespace ganymede
