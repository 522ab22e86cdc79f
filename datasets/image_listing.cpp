#include "datasets/image_listing.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "core/error.h"

namespace ganymede {
namespace {

std::string_view class_of(std::string_view path) {
  const std::size_t slash = path.find('/');
  return path.substr(0, slash == std::string_view::npos ? 0 : slash);
}

bool comes_before(std::string_view a, std::string_view b) {
  const int order = class_of(a).compare(class_of(b));
  return order != 0 ? order < 0 : a < b;
}

bool is_hidden(std::string_view path) {
  while (true) {
    const std::size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.starts_with('.') || part == "__MACOSX") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
}

std::string extension_of(std::string_view path) {
  const std::string_view file = path.substr(path.rfind('/') + 1);
  const std::size_t dot = file.rfind('.');
  std::string extension(dot == std::string_view::npos ? "no extension" : file.substr(dot));
  for (char& c : extension)
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  return extension;
}

bool is_image(std::string_view extension) {
  constexpr std::array known{".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
  return std::find(known.begin(), known.end(), extension) != known.end();
}

/// Without "./" in front and '/' at the end.
std::string_view trimmed(std::string_view path) {
  while (path.starts_with("./")) path.remove_prefix(2);
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  return path == "." ? std::string_view() : path;
}

}  // namespace

ImageListing::ImageListing(std::string_view subdir) : prefix_(trimmed(subdir)) {
  if (!prefix_.empty()) prefix_ += '/';
}

ImageListing::Kind ImageListing::add(std::string_view path) {
  path = trimmed(path);
  if (!path.starts_with(prefix_)) {
    if (elsewhere_.size() < 8 && !is_hidden(path)) elsewhere_.emplace(path.substr(0, path.rfind('/') + 1));
    return Kind::skipped;
  }
  path.remove_prefix(prefix_.size());
  const std::string extension = extension_of(path);
  const bool hidden = is_hidden(path);
  if (hidden || !is_image(extension)) {
    skip(hidden ? "hidden" : extension);
    return Kind::skipped;
  }
  paths_.emplace_back(path);
  if (first_ >= 0 && !comes_before(path, paths_[static_cast<std::size_t>(first_)])) return Kind::image;
  first_ = static_cast<std::int64_t>(paths_.size()) - 1;
  return Kind::first_image;
}

std::pair<SourceContents, std::vector<std::int64_t>> ImageListing::finish(std::string_view source) {
  if (paths_.empty()) fail_empty(source);
  std::vector<std::size_t> order(paths_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return comes_before(paths_[a], paths_[b]); });
  std::vector<std::int64_t> index_of(paths_.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    std::string path = std::move(paths_[order[i]]);
    index_of[order[i]] = static_cast<std::int64_t>(i);
    if (i > 0 && path == contents_.names.back())
      fail(ExitCode::dataset, "{} holds {}{} twice: which one is meant? Remove one", source, prefix_, path);
    const std::string_view name = class_of(path);
    if (!name.empty() && (contents_.class_names.empty() || contents_.class_names.back() != name))
      contents_.class_names.emplace_back(name);
    contents_.labels.push_back(name.empty() ? -1
                                            : static_cast<std::int64_t>(contents_.class_names.size()) - 1);
    contents_.names.push_back(std::move(path));
  }
  return {std::move(contents_), std::move(index_of)};
}

void ImageListing::fail_empty(std::string_view source) const {
  std::vector<std::string> skipped;
  for (const auto& [reason, count] : contents_.skipped)
    skipped.push_back(fmt::format("{} {}", count, reason));
  const std::string where = prefix_.empty() ? "" : " under " + prefix_;
  const std::string left_out = skipped.empty() ? "" : fmt::format("; skipped: {}", fmt::join(skipped, ", "));
  const std::string remedy = elsewhere_.empty()
                                 ? "give a folder or archive of .jpg and .png files"
                                 : fmt::format("there are files under {}", fmt::join(elsewhere_, ", "));
  fail(ExitCode::dataset, "{} holds no image{}{}: {}", source, where, left_out, remedy);
}

}  // namespace ganymede
