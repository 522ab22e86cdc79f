#include "core/safetensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the tensors' bytes are written as they lie in memory");

constexpr std::int64_t length_bytes = 8;
constexpr std::int64_t longest_header = 100'000'000;  // the format's own limit
constexpr std::size_t block_bytes = 1 << 20;          // hashed and written while it is in cache
constexpr const char* metadata_key = "__metadata__";

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

template <class Action>
void for_each_block(std::span<std::byte> bytes, Action action) {
  for (std::size_t offset = 0; offset < bytes.size(); offset += block_bytes)
    action(bytes.subspan(offset, std::min(block_bytes, bytes.size() - offset)), offset);
}

/// Small pieces are gathered, so that calls of the system are few.
class HashedFile {
 public:
  explicit HashedFile(const std::filesystem::path& path) : file_(File::create(path)) {}

  void write(std::span<const std::byte> bytes) {
    if (gathered_ + bytes.size() > block_bytes) flush();
    if (bytes.size() > block_bytes) return put(bytes);
    if (!bytes.empty()) std::memcpy(block_.data() + gathered_, bytes.data(), bytes.size());
    gathered_ += bytes.size();
  }

  FileRecord finish() {
    flush();
    file_.sync();
    file_.close();
    return {file_.path().filename().string(), size_, hash_.digest()};
  }

 private:
  void put(std::span<const std::byte> bytes) {
    hash_.update(bytes);
    file_.write(bytes);
    size_ += static_cast<std::int64_t>(bytes.size());
  }
  void flush() {
    put(std::span(block_).first(gathered_));
    gathered_ = 0;
  }

  File file_;
  Xxh3 hash_;
  std::int64_t size_ = 0;
  std::vector<std::byte> block_ = std::vector<std::byte>(block_bytes);
  std::size_t gathered_ = 0;
};

NamedTensors in_file_order(NamedTensors tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const auto& left, const auto& right) {
    const auto left_size = left.second.element_size(), right_size = right.second.element_size();
    return left_size != right_size ? left_size > right_size : left.first < right.first;
  });
  return tensors;
}

std::string header_of(const NamedTensors& tensors, const std::map<std::string, std::string>& metadata,
                      const std::filesystem::path& path) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header[metadata_key] = metadata;
  std::int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    if (name == metadata_key || header.contains(name))
      fail(ExitCode::checkpoint, "cannot write {}: the name {} is taken", path.string(), quote(name));
    const TensorType type = TensorType::of(tensor);
    nlohmann::json entry = type.to_json();
    entry["data_offsets"] = {offset, offset + type.bytes()};
    header[name] = std::move(entry);
    offset += type.bytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  if (static_cast<std::int64_t>(text.size()) > longest_header)
    fail(ExitCode::checkpoint, "cannot write {}: {} tensors need a header over {} bytes", path.string(),
         tensors.size(), longest_header);
  return text;
}

FileRecord write_in_order(const std::filesystem::path& path, const NamedTensors& tensors,
                          const std::string& header, const std::function<void()>& tick) {
  HashedFile file(path);
  const std::uint64_t length = header.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(header)));
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor plain = tensor.detach().to(at::kCPU).contiguous();
    for_each_block(bytes_of(plain), [&](std::span<std::byte> block, std::size_t) {
      file.write(block);
      if (tick) tick();
    });
  }
  return file.finish();
}

std::string where_in(const std::filesystem::path& path, const std::string& name) {
  return fmt::format("{}, tensor {}", path.string(), quote(name));
}

}  // namespace

FileRecord write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                             const std::map<std::string, std::string>& metadata,
                             const std::function<void()>& tick) {
  const NamedTensors ordered = in_file_order(tensors);
  const std::string header = header_of(ordered, metadata, path);
  try {
    return write_in_order(path, ordered, header, tick);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    throw;
  }
}

/// Fills a SafetensorsFile from its header, one rule a function.
class SafetensorsFile::Header {
 public:
  explicit Header(SafetensorsFile& file) : file_(file), path_(file.file_.path().string()) {}

  void read() {
    const std::string text = read_text();
    if (text.empty() || text.front() != '{')
      fail(ExitCode::checkpoint, "{} is not a safetensors file: its header does not begin with '{{'", path_);
    const nlohmann::json header = parse_strictly(text, ExitCode::checkpoint, path_);
    for (const auto& [name, value] : header.items()) {
      if (name == metadata_key)
        read_metadata(value);
      else
        file_.tensors_.emplace(name, entry_of(value, where_in(path_, name)));
    }
    check_tiling();
  }

 private:
  std::string read_text() {
    const std::int64_t size = file_.file_.size();
    std::uint64_t length = 0;
    if (size < length_bytes)
      fail(ExitCode::checkpoint, "{} holds {} bytes, too few for safetensors", path_, size);
    file_.file_.read_at(0, std::as_writable_bytes(std::span(&length, 1)));
    if (length > longest_header)
      fail(ExitCode::checkpoint,
           "{} is not a safetensors file: it claims a header of {} bytes (pickled .pt and .pth files must be "
           "converted first)",
           path_, length);
    if (static_cast<std::int64_t>(length) > size - length_bytes)
      fail(ExitCode::checkpoint, "{} is cut short: a header of {} bytes in a file of {}", path_, length,
           size);
    std::string text(length, '\0');
    file_.file_.read_at(length_bytes, std::as_writable_bytes(std::span(text)));
    file_.data_begin_ = length_bytes + static_cast<std::int64_t>(length);
    data_bytes_ = size - file_.data_begin_;
    return text;
  }

  void read_metadata(const nlohmann::json& value) {
    if (!value.is_object()) fail(ExitCode::checkpoint, "{}: {} is not an object", path_, metadata_key);
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string())
        fail(ExitCode::checkpoint, "{}: {} holds something else than text at {}", path_, metadata_key,
             quote(key));
      file_.metadata_.emplace(key, text.get<std::string>());
    }
  }

  static Entry entry_of(const nlohmann::json& value, const std::string& where) {
    const TensorType type = TensorType::parse(value, where);
    const nlohmann::json& offsets = member(value, "data_offsets", where);
    if (value.size() != 3)
      fail(ExitCode::checkpoint, "{}: members besides dtype, shape and data_offsets", where);
    if (!offsets.is_array() || offsets.size() != 2)
      fail(ExitCode::checkpoint, "{}: \"data_offsets\" is not a pair", where);
    const Entry entry{type, parse_count(offsets[0], where), parse_count(offsets[1], where)};
    if (entry.end < entry.begin || entry.end - entry.begin != type.bytes())
      fail(ExitCode::checkpoint, "{}: {} needs {} bytes, but its offsets are [{}, {})", where, type.text(),
           type.bytes(), entry.begin, entry.end);
    return entry;
  }

  void check_tiling() {
    std::vector<std::pair<std::pair<std::int64_t, std::int64_t>, const std::string*>> ranges;
    for (const auto& [name, entry] : file_.tensors_) ranges.push_back({{entry.begin, entry.end}, &name});
    std::sort(ranges.begin(), ranges.end());
    std::int64_t end = 0;
    for (const auto& [range, name] : ranges) {
      if (range.first != end)
        fail(ExitCode::checkpoint, "{}: begins at byte {}, but the tensor before it ends at {}",
             where_in(path_, *name), range.first, end);
      end = range.second;
    }
    if (end != data_bytes_)
      fail(ExitCode::checkpoint, "{}: the tensors take {} bytes, the file has {}: was it cut or appended to?",
           path_, end, data_bytes_);
  }

  SafetensorsFile& file_;
  std::string path_;
  std::int64_t data_bytes_ = 0;
};

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  // Opening a pipe would wait for a writer.
  if (!size_of_file(path)) fail(ExitCode::checkpoint, "{} is missing or not a file", path.string());
  SafetensorsFile file(File::open_for_reading(path));
  Header(file).read();
  return file;
}

at::Tensor SafetensorsFile::read(const std::string& name) const {
  const std::string where = where_in(file_.path(), name);
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(ExitCode::checkpoint, "{} is not in the file", where);
  const Entry& entry = found->second;
  const at::Tensor tensor = at::empty(entry.type.shape, at::TensorOptions(entry.type.dtype));
  file_.read_at(data_begin_ + entry.begin, bytes_of(tensor));
  check_booleans(tensor, where);
  return tensor;
}

std::uint64_t SafetensorsFile::read_all(
    const std::function<at::Tensor(const std::string& name)>& destination) const {
  std::vector<std::pair<std::string, Entry>> ordered(tensors_.begin(), tensors_.end());
  std::sort(ordered.begin(), ordered.end(),
            [](const auto& left, const auto& right) { return left.second.begin < right.second.begin; });
  Xxh3 hash;
  std::vector<std::byte> header(static_cast<std::size_t>(data_begin_));
  file_.read_at(0, header);
  hash.update(header);
  for (const auto& [name, entry] : ordered) {
    const at::Tensor target = destination(name);
    TORCH_CHECK(target.is_contiguous() && target.is_cpu() && target.scalar_type() == entry.type.dtype &&
                    target.numel() == entry.type.numel(),
                "the destination of ", name, " does not fit ", entry.type.text());
    for_each_block(bytes_of(target), [&](std::span<std::byte> block, std::size_t offset) {
      file_.read_at(data_begin_ + entry.begin + static_cast<std::int64_t>(offset), block);
      hash.update(block);
    });
    check_booleans(target, where_in(file_.path(), name));
  }
  return hash.digest();
}

}  // namespace ganymede
