#include "core/weights_file.h"

#include <algorithm>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

namespace fs = std::filesystem;

struct Impostor {
  std::string_view begins_with;
  const char* is;
};

// What is found under a weights file's name when a download went wrong.
constexpr Impostor impostors[] = {
    {"version https://git-lfs", "a Git LFS pointer: fetch the file itself with git lfs pull"},
    {"<", "a web page: download the file itself"},
};

File open_file(const fs::path& path) {
  // Opening a pipe would wait for a writer.
  if (!size_of_file(path)) fail(ExitCode::checkpoint, "{} is missing or not a file", path.string());
  return File::open_for_reading(path);
}

/// Length of the header (u64), then '{'.
bool looks_like_safetensors(std::string_view head) {
  return head.size() > 8 && head[8] == '{' && head[7] == '\0';
}

WeightsFormat format_of(const File& file) {
  std::string head(static_cast<std::size_t>(std::min<std::int64_t>(file.size(), 32)), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  const std::string where = file.path().string();
  // First: the length of its header may begin with the bytes that the others begin with.
  if (looks_like_safetensors(head)) return WeightsFormat::safetensors;
  for (const Impostor& impostor : impostors)
    if (head.starts_with(impostor.begins_with)) fail(ExitCode::checkpoint, "{} is {}", where, impostor.is);
  switch (TorchFile::format_of(file)) {
    case TorchFile::Format::zip:
      return WeightsFormat::torch_zip;
    case TorchFile::Format::legacy:
      return WeightsFormat::torch_legacy;
    case TorchFile::Format::program:
      return WeightsFormat::torchscript;
    case TorchFile::Format::other:
      break;
  }
  fail(ExitCode::checkpoint,
       "{} ({} bytes) is no weights file: neither safetensors nor what torch.save writes", where,
       file.size());
}

std::variant<SafetensorsFile, TorchFile> open_as(WeightsFormat format, File file) {
  switch (format) {
    case WeightsFormat::safetensors:
      return SafetensorsFile::open(file.path());
    case WeightsFormat::torch_zip:
      return TorchFile::open(std::move(file), TorchFile::Format::zip);
    case WeightsFormat::torch_legacy:
      return TorchFile::open(std::move(file), TorchFile::Format::legacy);
    case WeightsFormat::torchscript:
      break;
  }
  fail(ExitCode::checkpoint,
       "{} is a TorchScript program, and only weights are read here: save its state dict with torch.save",
       file.path().string());
}

const TensorType& type_of(const SafetensorsFile::Entry& entry) {
  return entry.type;
}

const TensorType& type_of(const TorchTensor& tensor) {
  return tensor.type;
}

}  // namespace

std::string_view name_of(WeightsFormat format) {
  switch (format) {
    case WeightsFormat::safetensors:
      return "safetensors";
    case WeightsFormat::torch_zip:
      return "torch (zip)";
    case WeightsFormat::torch_legacy:
      return "torch (legacy)";
    case WeightsFormat::torchscript:
      return "TorchScript";
  }
  return "";
}

WeightsFormat weights_format(const fs::path& path) {
  return format_of(open_file(path));
}

WeightsFile::WeightsFile(fs::path path, WeightsFormat format, std::variant<SafetensorsFile, TorchFile> file)
    : path_(std::move(path)), format_(format), file_(std::move(file)) {
  std::visit(
      [&](const auto& opened) {
        for (const auto& [name, entry] : opened.tensors()) tensors_.emplace(name, type_of(entry));
      },
      file_);
}

WeightsFile WeightsFile::open(const fs::path& path) {
  File file = open_file(path);
  const WeightsFormat format = format_of(file);
  return {path, format, open_as(format, std::move(file))};
}

at::Tensor WeightsFile::read(const std::string& name) const {
  return std::visit([&](const auto& opened) { return opened.read(name); }, file_);
}

std::uint64_t WeightsFile::digest() const {
  Xxh3 hash;
  for (const auto& [name, type] : tensors_) {
    const std::uint64_t length = name.size();
    const std::string type_line = type.text() + "\n";
    hash.update(std::as_bytes(std::span(&length, 1)));
    hash.update(std::as_bytes(std::span(name)));
    hash.update(std::as_bytes(std::span(type_line)));
    const at::Tensor tensor = read(name);
    hash.update({static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  return hash.digest();
}

}  // namespace ganymede
