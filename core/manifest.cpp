#include "core/manifest.h"

#include <charconv>
#include <unordered_set>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

constexpr std::int64_t longest_manifest = 1'000'000'000;
constexpr std::string_view name_prefix = "step-";
constexpr std::int64_t last_step = 999'999'999;
constexpr std::int64_t most_shards = 99'999;  // five digits in a shard's name

/// What follows the content, so that a manifest is one JSON object and yet its digest covers bytes, not
/// values.
std::string seal_of(std::string_view text) {
  return fmt::format(",\n\"xxh3\": \"{}\"\n}}\n", hex(Xxh3::of(text)));
}

const std::size_t seal_size = seal_of("").size();

void check_seal(std::string_view text, const std::string& where) {
  if (text.size() < seal_size || text.substr(text.size() - seal_size) !=
                                     std::string_view(seal_of(text.substr(0, text.size() - seal_size))))
    fail(ExitCode::checkpoint, "{} is damaged: its text does not match its digest", where);
}

std::string text_of(const nlohmann::json& value, const std::string& where) {
  if (!value.is_string()) fail(ExitCode::checkpoint, "{}: {} is not text", where, quote(value.dump()));
  return value.get<std::string>();
}

const nlohmann::json& list_in(const nlohmann::json& object, const char* key, const std::string& where) {
  const nlohmann::json& list = member(object, key, where);
  if (!list.is_array()) fail(ExitCode::checkpoint, "{}: \"{}\" is not a list", where, key);
  return list;
}

nlohmann::json json_of(const TensorRecord& record) {
  nlohmann::json json = record.type.to_json();
  json["name"] = record.name;
  for (const Piece& piece : record.pieces)
    json["pieces"].push_back({{"shard", piece.shard},
                              {"key", piece.key},
                              {"first", piece.elements.first},
                              {"count", piece.elements.count}});
  return json;
}

/// What a shard has not yet given to a tensor.
struct Unclaimed {
  std::int64_t bytes = 0;
  std::unordered_set<std::string> taken_keys = {};
};

/// Takes the bytes and the key of each piece from its shard.
TensorRecord tensor_from(const nlohmann::json& json, std::vector<Unclaimed>& unclaimed,
                         const std::string& manifest) {
  TensorRecord record;
  record.name = text_of(member(json, "name", manifest), manifest);
  const std::string where = fmt::format("{}, tensor {}", manifest, quote(record.name));
  record.type = TensorType::parse(json, where);
  std::int64_t end = 0;
  for (const nlohmann::json& part : list_in(json, "pieces", where)) {
    const std::int64_t shard = parse_count(member(part, "shard", where), where);
    const Share elements{parse_count(member(part, "first", where), where),
                         parse_count(member(part, "count", where), where)};
    if (shard >= std::ssize(unclaimed)) fail(ExitCode::checkpoint, "{}: there is no shard {}", where, shard);
    const std::int64_t numel = record.type.numel();
    if (elements.first != end || elements.count > numel - end || (elements.count == 0 && numel != 0))
      fail(ExitCode::checkpoint, "{}: its pieces overlap or leave a hole at element {}", where, end);
    end += elements.count;
    Unclaimed& left = unclaimed[static_cast<std::size_t>(shard)];
    left.bytes -= elements.count * record.type.item_bytes();
    if (left.bytes < 0) fail(ExitCode::checkpoint, "{}: shard {} is too small to hold it", where, shard);
    const std::string key = text_of(member(part, "key", where), where);
    if (!left.taken_keys.insert(key).second)
      fail(ExitCode::checkpoint, "{}: shard {} has {} for another tensor already", where, shard, quote(key));
    record.pieces.push_back({static_cast<int>(shard), key, elements});
  }
  if (record.pieces.empty() || end != record.type.numel())
    fail(ExitCode::checkpoint, "{}: its pieces end at element {} of {}", where, end, record.type.numel());
  return record;
}

void read_shards(const nlohmann::json& content, Manifest& manifest, const std::string& where) {
  const nlohmann::json& shards = list_in(content, "shards", where);
  if (shards.empty() || shards.size() > most_shards)
    fail(ExitCode::checkpoint, "{}: {} shards", where, shards.size());
  for (const nlohmann::json& json : shards) {
    manifest.shards.push_back(json.get<FileRecord>());
    const auto rank = static_cast<int>(manifest.shards.size()) - 1;
    const std::string expected = shard_name(rank, static_cast<int>(shards.size()));
    if (manifest.shards.back().name != expected)
      fail(ExitCode::checkpoint, "{}: shard {} is called {} instead of {}", where, rank,
           quote(manifest.shards.back().name), expected);
  }
}

void read_tensor_records(const nlohmann::json& content, Manifest& manifest, const std::string& where) {
  std::vector<Unclaimed> unclaimed;
  for (const FileRecord& shard : manifest.shards) unclaimed.push_back({shard.size});
  std::unordered_set<std::string> names;
  for (const nlohmann::json& json : list_in(content, "tensors", where)) {
    manifest.tensors.push_back(tensor_from(json, unclaimed, where));
    const std::string& name = manifest.tensors.back().name;
    if (!names.insert(name).second)
      fail(ExitCode::checkpoint, "{}: two tensors are called {}", where, quote(name));
  }
}

}  // namespace

std::string shard_name(int rank, int world_size) {
  return fmt::format("shard-{:05}-of-{:05}.safetensors", rank, world_size);
}

std::string checkpoint_name(std::int64_t step) {
  if (step < 0 || step > last_step)
    fail(ExitCode::checkpoint, "a checkpoint's step has nine digits at most, not {}", step);
  return fmt::format("{}{:09}", name_prefix, step);
}

std::optional<std::int64_t> step_of(const std::filesystem::path& checkpoint) {
  const std::string name = (checkpoint / "").parent_path().filename().string();
  std::string_view digits = name;
  if (!digits.starts_with(name_prefix)) return std::nullopt;
  digits.remove_prefix(name_prefix.size());
  if (digits.ends_with(replaced_suffix)) digits.remove_suffix(std::string_view(replaced_suffix).size());
  std::int64_t step = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  return is_number && digits.size() == 9 && step >= 0 ? std::optional(step) : std::nullopt;
}

std::string Manifest::to_text() const {
  nlohmann::json tensor_list = nlohmann::json::array();
  for (const TensorRecord& record : tensors) tensor_list.push_back(json_of(record));
  const nlohmann::json content = {
      {"version", version}, {"step", step}, {"header", header}, {"shards", shards}, {"tensors", tensor_list}};
  try {
    const std::string text = "{\n\"content\": " + content.dump();
    return text + seal_of(text);
  } catch (const nlohmann::json::exception& error) {
    fail(ExitCode::checkpoint, "the checkpoint's header cannot be written as JSON: {}", quote(error.what()));
  }
}

Manifest Manifest::parse(std::string_view text, const std::string& where) {
  check_seal(text, where);
  const nlohmann::json json = parse_strictly(text, ExitCode::checkpoint, where);
  const nlohmann::json& content = member(json, "content", where);
  Manifest manifest;
  const std::int64_t version = parse_count(member(content, "version", where), where);
  if (version != current_version)
    fail(ExitCode::checkpoint,
         "{} has format version {}, this program reads {}: use the program that wrote it", where, version,
         current_version);
  manifest.step = parse_count(member(content, "step", where), where);
  manifest.header = member(content, "header", where);
  read_shards(content, manifest, where);
  read_tensor_records(content, manifest, where);
  return manifest;
}

Manifest read_manifest(const std::filesystem::path& checkpoint) {
  const std::filesystem::path path = checkpoint / Manifest::file_name;
  if (!size_of_file(path))
    fail(ExitCode::checkpoint, "{} is no whole checkpoint: it has no {}", checkpoint.string(),
         Manifest::file_name);
  Manifest manifest = Manifest::parse(read_text_file(path, longest_manifest), path.string());
  const std::optional<std::int64_t> step = step_of(checkpoint);
  if (step && *step != manifest.step)
    fail(ExitCode::checkpoint, "{} holds step {}: was the folder renamed?", checkpoint.string(),
         manifest.step);
  return manifest;
}

void to_json(nlohmann::json& json, const FileRecord& record) {
  json = {{"name", record.name}, {"size", record.size}, {"xxh3", hex(record.digest)}};
}

void from_json(const nlohmann::json& json, FileRecord& record) {
  const std::string where = "file record";
  record.name = text_of(member(json, "name", where), where);
  record.size = parse_count(member(json, "size", where), where);
  const std::string digits = text_of(member(json, "xxh3", where), where);
  const char* end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, record.digest, 16);
  if (parsed.ec != std::errc() || parsed.ptr != end || hex(record.digest) != digits)
    fail(ExitCode::checkpoint, "{}: {} is not an XXH3 digest", where, quote(digits));
}

}  // namespace ganymede
