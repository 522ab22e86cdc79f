#include "core/torch_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/pickle.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

using Kind = Pickle::Kind;

constexpr std::int64_t longest_pickle = std::int64_t{64} << 20;
constexpr std::int64_t first_bytes = 64;   // the pickle of the magic number takes 15 to 27
constexpr std::int64_t most_sharing = 64;  // of all tensors' bytes to the file's
constexpr std::size_t bytes_checked_at_once = 1 << 20;

// torch/serialization.py: MAGIC_NUMBER, as protocol 2 writes it and as protocol 1 does, and PROTOCOL_VERSION.
constexpr std::string_view magic_bytes = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
constexpr std::string_view magic_digits = "119547037146038801333356";
constexpr std::int64_t legacy_version = 1001;

std::string read_range(const File& file, std::int64_t begin, std::int64_t size) {
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file.read_at(begin, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

std::string read_head(const File& file, std::int64_t limit) {
  return read_range(file, 0, std::min(file.size(), limit));
}

bool is_magic(const Pickle::Value& value) {
  return value.kind == Kind::wide && (value.text == magic_bytes || value.text == magic_digits);
}

bool begins_with_magic(const std::string& head, const std::string& where) {
  try {
    return is_magic(Pickle::parse(head, {}, where).root());
  } catch (const Error&) {
    return false;
  }
}

/// A pickle from protocol 2 on that is not torch's. What is wrong with it comes from its own reader.
TorchFile::Format refuse_pickle(const File& file) {
  const std::string where = file.path().string();
  Pickle::parse(read_head(file, longest_pickle), torch_symbols(), where);
  fail(ExitCode::checkpoint, "{} is a pickle that torch.save did not write", where);
}

bool is_program(const StoredZip& zip) {
  return std::ranges::any_of(zip.entries(), [](const auto& entry) {
    const std::string_view name = entry.first;
    const std::size_t folder = name.find('/');
    return folder != std::string_view::npos &&
           (name.substr(folder).starts_with("/code/") || name.substr(folder) == "/constants.pkl");
  });
}

/// NAME of the one NAME/data.pkl.
std::string archive_name(const StoredZip& zip, const std::string& where) {
  constexpr std::string_view suffix = "/data.pkl";
  std::vector<std::string> names;
  for (const auto& [name, entry] : zip.entries())
    if (name.ends_with(suffix)) names.push_back(name.substr(0, name.size() - suffix.size()));
  if (names.size() != 1)
    fail(ExitCode::checkpoint, "{} is a zip with {} entries data.pkl, where torch.save writes one", where,
         names.size());
  return names.front();
}

void check_byte_order(bool is_little, const std::string& where) {
  if (!is_little)
    fail(ExitCode::checkpoint,
         "{} was written on a big-endian machine, whose numbers are not read here: save it again on another",
         where);
}

bool says_little_endian(const Pickle& info) {
  const auto& items = info.root().items;
  for (std::size_t i = 0; info.root().kind == Kind::dict && i < items.size(); i += 2)
    if (info[items[i]].kind == Kind::text && info[items[i]].text == "little_endian")
      return info[items[i + 1]].kind == Kind::boolean && info[items[i + 1]].integer == 1;
  return false;
}

}  // namespace

TorchFile::Format TorchFile::format_of(const File& file) {
  const std::string head = read_head(file, first_bytes);
  if (head.starts_with("PK\x03\x04"))
    return is_program(StoredZip::open(file)) ? Format::program : Format::zip;
  if (begins_with_magic(head, file.path().string())) return Format::legacy;
  return head.starts_with('\x80') ? refuse_pickle(file) : Format::other;
}

TorchFile TorchFile::open(File file, Format format) {
  TorchFile opened(std::move(file));
  if (format == Format::zip)
    opened.open_zip();
  else
    opened.open_legacy();
  return opened;
}

void TorchFile::open_zip() {
  const std::string where = file_.path().string();
  const StoredZip zip = StoredZip::open(file_);
  const std::string archive = archive_name(zip, where);
  const auto range_of = [&](const std::string& name) {
    const std::int64_t begin = zip.begin(file_, name);
    const StoredZip::Entry& entry = zip.entries().at(name);
    return Range{begin, entry.size, entry.crc};
  };
  const auto contents = [&](const std::string& name, std::int64_t limit) {
    const Range range = range_of(name);
    if (range.size > limit)
      fail(ExitCode::checkpoint, "{}, entry {}: {} bytes, where at most {} are read", where, quote(name),
           range.size, limit);
    const std::string bytes = read_range(file_, range.begin, range.size);
    check_crc(name, range, crc32_of(std::as_bytes(std::span(bytes))));
    return bytes;
  };
  if (const std::string order = archive + "/byteorder"; zip.entries().contains(order))
    check_byte_order(contents(order, 16) == "little", where);
  const std::string bytes = contents(archive + "/data.pkl", longest_pickle);
  const Pickle pickle = Pickle::parse(bytes, torch_symbols(), where);
  for (const auto& [key, storage] : torch_storages(pickle, where)) {
    const Range range = range_of(fmt::format("{}/data/{}", archive, key));
    if (range.size / static_cast<std::int64_t>(c10::elementSize(storage.dtype)) != storage.numel)
      fail(ExitCode::checkpoint, "{}: its storage {} of {} {} has {} bytes", where, quote(key), storage.numel,
           c10::toString(storage.dtype), range.size);
    storages_.emplace(key, range);
  }
  take_tensors(pickle);
}

void TorchFile::open_legacy() {
  const std::string where = file_.path().string();
  const std::string head = read_head(file_, longest_pickle);
  std::size_t position = 0;
  const auto next = [&](std::span<const std::string_view> symbols) {
    Pickle pickle = Pickle::parse(std::string_view(head).substr(position), symbols, where);
    position += pickle.size();
    return pickle;
  };
  next({});
  const Pickle version = next({});
  if (version.root().kind != Kind::integer || version.root().integer != legacy_version)
    fail(ExitCode::checkpoint, "{}: a version of torch's legacy format other than {}", where, legacy_version);
  check_byte_order(says_little_endian(next({})), where);
  const Pickle pickle = next(torch_symbols());
  const Pickle keys = next({});
  place_storages(torch_storages(pickle, where), keys, static_cast<std::int64_t>(position));
  take_tensors(pickle);
}

void TorchFile::place_storages(const std::map<std::string, TorchStorage>& storages, const Pickle& keys,
                               std::int64_t position) {
  const std::string where = file_.path().string();
  const std::int64_t size = file_.size();
  for (const Pickle::Index index : keys.root().items) {
    const std::string key(keys[index].text);
    const auto found = storages.find(key);
    if (found == storages.end() || storages_.contains(key))
      fail(ExitCode::checkpoint, "{}: its list of storages has {} twice or without a tensor", where,
           quote(key));
    const TorchStorage& storage = found->second;
    const auto item = static_cast<std::int64_t>(c10::elementSize(storage.dtype));
    std::int64_t numel = 0;
    if (size - position < std::int64_t{sizeof numel} ||
        (size - position - std::int64_t{sizeof numel}) / item < storage.numel)
      fail(ExitCode::checkpoint, "{} is cut short: its storage {} of {} {} begins at byte {} of {}", where,
           quote(key), storage.numel, c10::toString(storage.dtype), position, size);
    file_.read_at(position, std::as_writable_bytes(std::span(&numel, 1)));
    if (numel != storage.numel)
      fail(ExitCode::checkpoint, "{}: its storage {} has {} numbers, but {} are there", where, quote(key),
           storage.numel, numel);
    position += std::int64_t{sizeof numel};
    storages_.emplace(key, Range{position, numel * item, 0});
    position += numel * item;
  }
  if (storages_.size() != storages.size())
    fail(ExitCode::checkpoint, "{}: {} storages are needed, {} are there", where, storages.size(),
         storages_.size());
  if (position != size)
    fail(ExitCode::checkpoint, "{}: {} bytes left over behind its storages", where, size - position);
}

void TorchFile::take_tensors(const Pickle& pickle) {
  const std::string where = file_.path().string();
  const std::int64_t size = file_.size();
  tensors_ = torch_tensors(pickle, where);
  std::int64_t left = most_sharing * size;
  for (const auto& [name, tensor] : tensors_) {
    left -= tensor.type.bytes() <= size ? tensor.type.bytes() : left + 1;
    if (left < 0)
      fail(ExitCode::checkpoint, "{}, tensor {}: {} is far more than the file's {} bytes can hold", where,
           quote(name), tensor.type.text(), size);
  }
}

void TorchFile::check_crc(const std::string& name, const Range& range, std::uint32_t crc) const {
  if (range.crc != 0 && crc != range.crc)
    fail(ExitCode::checkpoint, "{} is damaged: the CRC-32 of {} is {:08x}, not {:08x}", file_.path().string(),
         quote(name), crc, range.crc);
}

void TorchFile::check_storage(const std::string& key) const {
  const Range& range = storages_.at(key);
  if (range.crc == 0 || sound_.contains(key)) return;
  std::vector<std::byte> block(std::min(bytes_checked_at_once, static_cast<std::size_t>(range.size)));
  std::uint32_t crc = 0;
  for (std::int64_t done = 0; done < range.size;) {
    const std::span bytes(block.data(), std::min(block.size(), static_cast<std::size_t>(range.size - done)));
    file_.read_at(range.begin + done, bytes);
    crc = crc32_of(bytes, crc);
    done += std::ssize(bytes);
  }
  check_crc(key, range, crc);
  sound_.insert(key);
}

at::Tensor TorchFile::read(const std::string& name) const {
  const std::string where = fmt::format("{}, tensor {}", file_.path().string(), quote(name));
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) fail(ExitCode::checkpoint, "{} is not in the file", where);
  const TorchTensor& tensor = found->second;
  const Range& range = storages_.at(tensor.storage);
  const at::Tensor flat = at::empty({tensor.extent()}, at::TensorOptions(tensor.type.dtype));
  const std::span bytes(static_cast<std::byte*>(flat.data_ptr()), flat.nbytes());
  file_.read_at(range.begin + tensor.offset * tensor.type.item_bytes(), bytes);
  if (std::ssize(bytes) == range.size)
    check_crc(tensor.storage, range, crc32_of(bytes));
  else
    check_storage(tensor.storage);
  check_booleans(flat, where);
  if (flat.numel() == 0) return flat.reshape(tensor.type.shape);
  return flat.as_strided(tensor.type.shape, tensor.strides).contiguous();
}

}  // namespace ganymede
