#include "core/run_chain.h"

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "core/hash.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

constexpr const char* letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::size_t letters_a_tensor = 2;
constexpr std::uint64_t digest_bits = (std::uint64_t{1} << 48) - 1;

std::string seal_of(const std::string& last, const nlohmann::json& line) {
  return hex(Xxh3::of(last + json_text(line)));
}

std::string player_of(const std::string& tensor) {
  return tensor.substr(0, tensor.find('/'));
}

nlohmann::json to_json(const ChainLink& link) {
  nlohmann::json weights = nlohmann::json::object();
  for (const auto& [player, digest] : link.weights) weights[player] = hex(digest);
  return {{"step", link.step},       {"key", {link.seed, link.reseed}}, {"samples", hex(link.samples)},
          {"figures", link.figures}, {"weights", std::move(weights)},   {"marks", link.marks}};
}

std::uint64_t number_of(const nlohmann::json& digest) {
  return std::stoull(digest.get<std::string>(), nullptr, 16);
}

ChainLink link_of(const nlohmann::json& line, const std::vector<std::string>& tensors) {
  ChainLink link{.step = line.at("step").get<std::int64_t>(),
                 .seed = line.at("key").at(0).get<std::uint64_t>(),
                 .reseed = line.at("key").at(1).get<std::uint64_t>(),
                 .samples = number_of(line.at("samples")),
                 .figures = line.at("figures").get<std::map<std::string, std::string>>(),
                 .weights = {},
                 .marks = line.at("marks").get<std::string>(),
                 .tensors = tensors};
  for (const auto& [player, digest] : line.at("weights").items()) link.weights[player] = number_of(digest);
  return link;
}

std::string decimal(const std::string& figure) {
  return fmt::format("{:.17g}", std::strtod(figure.c_str(), nullptr));
}

/// The first figure that is another in b, or in one of them only.
std::string figure_difference(const ChainLink& a, const ChainLink& b) {
  for (const auto& [name, value] : a.figures) {
    const auto other = b.figures.find(name);
    if (other == b.figures.end()) return fmt::format("the losses: {} is only in A", name);
    if (other->second != value)
      return fmt::format("the losses: {} is {} and {}", name, decimal(value), decimal(other->second));
  }
  for (const auto& [name, value] : b.figures)
    if (!a.figures.contains(name)) return fmt::format("the losses: {} is only in B", name);
  return "";
}

std::vector<std::string> differing_tensors(const ChainLink& a, const ChainLink& b) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < a.tensors.size(); ++i)
    if (a.marks.substr(letters_a_tensor * i, letters_a_tensor) !=
        b.marks.substr(letters_a_tensor * i, letters_a_tensor))
      names.push_back(a.tensors[i]);
  return names;
}

std::string weights_difference(const ChainLink& a, const ChainLink& b, const std::vector<std::string>& tensors) {
  if (a.tensors != b.tensors) return "the networks: their tensors have other names";
  const auto whole = static_cast<std::int64_t>(a.tensors.size()), count = static_cast<std::int64_t>(tensors.size());
  if (count > 0)
    return fmt::format("the weights: {} of {} tensors, {}{}", count, whole, tensors.front(),
                       count == 1 ? "" : " the first");
  for (const auto& [player, digest] : a.weights)
    if (b.weights.at(player) != digest) return fmt::format("the weights of the {}", player);
  return "";
}

/// What differs in two links of one step, in the order in which one follows from the other.
void compare_links(const ChainLink& a, const ChainLink& b, ChainComparison& comparison) {
  if (std::pair(a.seed, a.reseed) != std::pair(b.seed, b.reseed)) {
    comparison.what = fmt::format("the noise keys: seed {}, reseed {} and seed {}, reseed {}", a.seed, a.reseed,
                                  b.seed, b.reseed);
    return;
  }
  if (a.samples != b.samples) {
    comparison.what = "the batches";
    return;
  }
  comparison.what = figure_difference(a, b);
  if (!comparison.what.empty() || (a.tensors == b.tensors && a.weights == b.weights)) return;
  if (a.tensors == b.tensors) comparison.tensors = differing_tensors(a, b);
  comparison.what = weights_difference(a, b, comparison.tensors);
}

}  // namespace

void ChainLink::add_figure(const std::string& name, double value) {
  figures[name] = fmt::format("{:a}", value);
}

void ChainLink::add_tensors(std::vector<std::string> names, std::span<const std::uint64_t> digests) {
  std::map<std::string, Xxh3> players;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::uint64_t digest = digests[i] & digest_bits;
    players[player_of(names[i])].update(std::as_bytes(std::span(&digest, 1)));
    marks += letters[digest & 63];
    marks += letters[digest >> 6 & 63];
  }
  for (const auto& [player, digest] : players) weights[player] = digest.digest();
  tensors = std::move(names);
}

ChainWriter::ChainWriter(RunFolder& folder) : folder_(folder) {
  std::ifstream file(folder.path() / RunFolder::chain_name);
  std::string names, last;
  for (std::string line; std::getline(file, line); last = line)
    if (line.find("\"tensors\":[") != line.npos) names = line;
  const nlohmann::json end = nlohmann::json::parse(last, nullptr, false);
  const nlohmann::json named = nlohmann::json::parse(names, nullptr, false);
  // What is damaged stays so: the reader names it.
  if (end.is_object() && end.contains("chain") && end["chain"].is_string()) last_ = end["chain"];
  if (named.is_object() && named.contains("tensors") && named["tensors"].is_array())
    for (const nlohmann::json& name : named["tensors"]) tensors_.push_back(name.is_string() ? name : "");
}

void ChainWriter::add(const ChainLink& link) {
  if (link.tensors != tensors_) append({{"step", link.step}, {"tensors", tensors_ = link.tensors}});
  append(to_json(link));
}

void ChainWriter::append(nlohmann::json line) {
  last_ = seal_of(last_, line);
  line["chain"] = last_;
  folder_.append_chain(line);
}

ChainReader::ChainReader(const std::filesystem::path& run)
    : path_(run / RunFolder::chain_name), file_(path_, std::ios::binary) {
  if (!file_)
    fail(ExitCode::checkpoint, "{} cannot be read: name a run that was trained with chain.every", path_.string());
}

nlohmann::json ChainReader::checked(const std::string& text) {
  nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
  const bool is_whole = line.is_object() && line.contains("chain") && json_text(line) == text;
  const nlohmann::json seal = is_whole ? line["chain"] : nlohmann::json();
  if (is_whole) line.erase("chain");
  if (!is_whole || seal != seal_of(last_, line))
    fail(ExitCode::checkpoint,
         "{}, line {}, after step {}: not what the run wrote: it was changed, or lines before it are missing",
         path_.string(), line_, step_);
  last_ = seal;
  return line;
}

std::optional<ChainLink> ChainReader::next() {
  for (std::string text; std::getline(file_, text) && !file_.eof();) {
    ++line_;
    const nlohmann::json line = checked(text);
    try {
      if (const auto names = line.find("tensors"); names != line.end()) {
        tensors_ = names->get<std::vector<std::string>>();
        continue;
      }
      ChainLink link = link_of(line, tensors_);
      if (link.step <= step_ || link.marks.size() != letters_a_tensor * tensors_.size())
        fail(ExitCode::checkpoint, "{}, line {}: not in order", path_.string(), line_);
      step_ = link.step;
      return link;
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      fail(ExitCode::checkpoint, "{}, line {}: {}", path_.string(), line_, error.what());
    }
  }
  return std::nullopt;
}

ChainComparison compare_chains(const std::filesystem::path& a, const std::filesystem::path& b) {
  ChainComparison comparison;
  ChainReader reader_a(a), reader_b(b);
  auto link_a = reader_a.next(), link_b = reader_b.next();
  while (link_a && link_b) {
    if (link_a->step == link_b->step) {
      ++comparison.compared;
      compare_links(*link_a, *link_b, comparison);
      if (!comparison.what.empty()) {
        comparison.differs_at = link_a->step;
        return comparison;
      }
      comparison.same_until = link_a->step;
    }
    const std::int64_t step_a = link_a->step, step_b = link_b->step;
    if (step_a <= step_b) comparison.last_of_a = step_a, link_a = reader_a.next();
    if (step_b <= step_a) comparison.last_of_b = step_b, link_b = reader_b.next();
  }
  for (; link_a; link_a = reader_a.next()) comparison.last_of_a = link_a->step;
  for (; link_b; link_b = reader_b.next()) comparison.last_of_b = link_b->step;
  return comparison;
}

}  // namespace ganymede
