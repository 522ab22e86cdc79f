#include "models/latent_arithmetic.h"

#include <ATen/ATen.h>

#include <charconv>

#include "core/error.h"

namespace ganymede {
namespace {

constexpr std::size_t most_terms = 8, most_images = 16;
constexpr std::int64_t highest_index = 1'000'000'000;

[[noreturn]] void refuse_terms(const std::string& text, const std::string& why) {
  fail(ExitCode::options, "--terms {}: {}; write 3,8,12-5,9,14+7,2,4 for means of images by index", text,
       why);
}

std::int64_t read_index(const std::string& text, std::string_view word) {
  std::int64_t index = -1;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), index);
  if (error != std::errc{} || end != word.data() + word.size() || index > highest_index)
    refuse_terms(text, fmt::format("'{}' is not the index of an image", word));
  return index;
}

std::vector<std::int64_t> read_images(const std::string& text, std::string_view list) {
  std::vector<std::int64_t> images;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    images.push_back(read_index(text, list.substr(begin, end - begin)));
    begin = end + 1;
  }
  if (images.size() > most_images)
    refuse_terms(text, fmt::format("a term has at most {} images", most_images));
  return images;
}

}  // namespace

std::vector<LatentTerm> read_latent_terms(const std::string& text) {
  std::vector<LatentTerm> terms;
  std::string_view rest = text;
  double sign = 1;
  if (rest.starts_with('+') || rest.starts_with('-')) {
    sign = rest.front() == '-' ? -1 : 1;
    rest.remove_prefix(1);
  }
  while (true) {
    const std::size_t end = std::min(rest.find_first_of("+-"), rest.size());
    terms.push_back({sign, read_images(text, rest.substr(0, end))});
    if (end == rest.size()) break;
    sign = rest[end] == '-' ? -1 : 1;
    rest.remove_prefix(end + 1);
  }
  if (terms.size() > most_terms) refuse_terms(text, fmt::format("there are at most {} terms", most_terms));
  return terms;
}

at::Tensor sum_of_terms(const std::vector<LatentTerm>& terms, const at::Tensor& means) {
  at::Tensor sum = at::zeros_like(means[0]);
  for (std::size_t i = 0; i < terms.size(); ++i)
    sum = sum + terms[i].sign * means[static_cast<std::int64_t>(i)];
  return sum;
}

at::Tensor on_line(const at::Tensor& a, const at::Tensor& b, const at::Tensor& t) {
  std::vector<std::int64_t> shape(static_cast<std::size_t>(a.dim()), 1);
  shape[0] = t.size(0);
  return a + t.to(a.device(), a.scalar_type()).view(shape) * (b - a);
}

}  // namespace ganymede
