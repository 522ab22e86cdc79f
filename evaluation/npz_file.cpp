#include "evaluation/npz_file.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "core/error.h"
#include "datasets/archive_file.h"
#include "datasets/npy.h"
#include "evaluation/zip_writer.h"

namespace ganymede {
namespace {

constexpr const char* suffix = ".npy";

std::string type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kDouble:
      return "<f8";
    case at::kFloat:
      return "<f4";
    case at::kLong:
      return "<i8";
    default:
      TORCH_CHECK(tensor.scalar_type() == at::kByte, "no such array in an .npz: ", tensor.scalar_type());
      return "|u1";
  }
}

/// Format version 1.0: magic, length of the header, header, padded so that the values begin at a multiple
/// of 64.
std::string header(const std::string& type, at::IntArrayRef shape) {
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", type,
                                 fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  constexpr std::size_t prefix = 10, alignment = 64;
  text.append(alignment - (prefix + text.size() + 1) % alignment, ' ');
  text += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(text.size() & 0xFF);
  bytes += static_cast<char>(text.size() >> 8);
  return bytes + text;
}

at::Tensor tensor_of(const NpyHeader& found, const std::vector<std::byte>& values, const std::string& name) {
  if (found.kind == 'i' || found.kind == 'u') {
    const auto numbers = npy_integers(found, values, name);
    return at::tensor(numbers, at::kLong).view(found.shape);
  }
  at::ScalarType type = at::kDouble;
  if (found.kind == 'f' && found.item_bytes == 4)
    type = at::kFloat;
  else if (found.kind == 'f' && found.item_bytes == 2)
    type = at::kHalf;
  else if (found.kind != 'f' || found.item_bytes != 8)
    fail(ExitCode::dataset, "{} is {}: save float64", name, found.description());
  at::Tensor tensor = at::empty(found.shape, type);
  std::memcpy(tensor.data_ptr(), values.data(), values.size());
  return tensor.to(at::kDouble);
}

}  // namespace

void write_npz(const std::filesystem::path& path, const NpzContents& contents) {
  ZipWriter zip(path);
  for (const auto& [name, array] : contents.arrays) {
    const at::Tensor values = array.contiguous();
    zip.add(name + suffix, header(type_of(values), values.sizes()),
            std::as_bytes(std::span(static_cast<const char*>(values.const_data_ptr()), values.nbytes())));
  }
  for (const auto& [name, text] : contents.texts)
    zip.add(name + suffix, header(fmt::format("|S{}", std::max<std::size_t>(text.size(), 1)), {}),
            std::as_bytes(std::span(text.empty() ? std::string(1, '\0') : text)));
  zip.finish();
}

NpzContents read_npz(const std::filesystem::path& path, const std::vector<std::string>& names,
                     std::int64_t limit) {
  NpzContents contents;
  ArchiveFile archive(path);
  while (const auto member = archive.next()) {
    if (!member->name.ends_with(suffix)) continue;
    const std::string array = member->name.substr(0, member->name.size() - std::strlen(suffix));
    if (std::ranges::find(names, array) == names.end()) continue;
    const std::string name = fmt::format("{}:{}", path.string(), array);
    const NpyHeader found =
        read_npy_header([&](std::span<std::byte> bytes) { return archive.read(bytes); }, name);
    if (found.bytes() > limit)
      fail(ExitCode::dataset, "{} is {}: more than {} bytes", name, found.description(), limit);
    const auto values = archive.read_all(static_cast<std::size_t>(limit));
    if (std::ssize(values) != found.bytes())
      fail(ExitCode::dataset, "{} holds {} bytes, {} expected of {}: the file was cut", name, values.size(),
           found.bytes(), found.description());
    if (found.kind == 'S' || found.kind == 'U')
      contents.texts[array] = found.count() == 1 ? npy_strings(found, values, name).front() : "";
    else
      contents.arrays[array] = tensor_of(found, values, name);
  }
  return contents;
}

std::vector<std::string> npz_names(const std::filesystem::path& path) {
  std::vector<std::string> names;
  ArchiveFile archive(path);
  while (const auto member = archive.next())
    if (member->name.ends_with(suffix))
      names.push_back(member->name.substr(0, member->name.size() - std::strlen(suffix)));
  return names;
}

}  // namespace ganymede
