#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/run_folder.h"

namespace ganymede {

/// What two runs that are the same have in common after a step: a line of chain.jsonl,
///
///     {"chain":"60c1..","figures":{"loss_d":"0x1.6p+0"},"key":[7,0],"marks":"aZ3k..","samples":"91f0..","step":12,
///      "weights":{"discriminator":"07ab..","generator":"e55d.."}}
///
/// "chain" is the XXH3 of the line before's and of this line without it: a line that was changed, or lines that are
/// missing before it, show. (No proof against someone who computes the chain anew.) Where the tensors' names are not
/// those of the line before there is first a line {"chain": .., "step": 12, "tensors": [names]}.
struct ChainLink {
  std::int64_t step = 0;                         ///< steps done; 0: what training begins with
  std::uint64_t seed = 0, reseed = 0;            ///< of all draws: see RandomKey
  std::uint64_t samples = 0;                     ///< digest of the step's batches
  std::map<std::string, std::string> figures;    ///< losses, as exact hexadecimal numbers
  std::map<std::string, std::uint64_t> weights;  ///< digests by player
  std::string marks;                             ///< two letters a tensor, 12 bits of its digest
  std::vector<std::string> tensors;              ///< their names, "<player>/<kind>/<tensor>"

  void add_figure(const std::string& name, double value);
  /// Weights and marks of tensors with these names. Digests count with their 48 low bits.
  void add_tensors(std::vector<std::string> names, std::span<const std::uint64_t> digests);
};

/// Adds to a run's chain.
class ChainWriter {
 public:
  /// Goes on behind the last line that the folder has, which must have been cut back. Throws Error(`storage`).
  explicit ChainWriter(RunFolder& folder);
  void add(const ChainLink& link);

 private:
  void append(nlohmann::json line);

  RunFolder& folder_;
  std::string last_;
  std::vector<std::string> tensors_;
};

/// Reads a run's chain, from its first link on. What follows the last whole line, as a kill leaves it, is passed over.
class ChainReader {
 public:
  /// Throws Error(`checkpoint`) where the run has no chain.
  explicit ChainReader(const std::filesystem::path& run);
  /// Nothing at the end. Throws Error(`checkpoint`) that names the line at the first that is damaged.
  std::optional<ChainLink> next();

 private:
  nlohmann::json checked(const std::string& line);

  std::filesystem::path path_;
  std::ifstream file_;
  std::int64_t line_ = 0, step_ = -1;
  std::string last_;
  std::vector<std::string> tensors_;
};

/// How two runs compare.
struct ChainComparison {
  std::int64_t compared = 0;              ///< steps that both chains have, up to the first difference
  std::int64_t same_until = -1;           ///< the last of these that is the same in both; -1: none
  std::int64_t last_of_a = -1, last_of_b = -1;  ///< where the chains end, if nothing differs
  std::int64_t differs_at = -1;           ///< -1: nothing differs
  std::string what;                       ///< differs there: "the batches", "the losses: loss_d is 0.69 and 0.7"
  std::vector<std::string> tensors;       ///< that do, in their order, where it is weights; may not be told
};

/// The first step at which two runs' chains differ. Steps that one of them lacks are passed over. Throws
/// Error(`checkpoint`) for damage up to there.
ChainComparison compare_chains(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace ganymede
