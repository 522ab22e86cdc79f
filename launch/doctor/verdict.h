#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace ganymede {

/// What a check of a job or cluster says: one line of `ganymede doctor` and `ganymede drill`.
struct Verdict {
  enum class State { ok, skipped, warning, failed };
  State state = State::ok;
  std::string text;                ///< what was found and, where that is not well, the remedy
  ExitCode code = ExitCode::done;  ///< of a failure
};

Verdict all_well(std::string text);
Verdict skipped(std::string text);
Verdict warning(std::string text);
Verdict failure(ExitCode code, std::string text);
/// What an error says.
Verdict failure(const Error& error);

/// "warning  links        rank 2 on b to rank 3 on c: ..."
std::string verdict_line(std::string_view check, const Verdict& verdict);

/// Counts verdicts.
class Tally {
 public:
  void add(const Verdict& verdict);
  /// Of the first failure; done where there is none.
  ExitCode code() const { return code_; }
  /// "2 of 9 checks failed: ...", for whoever ends with code(). "" where none did.
  std::string complaint() const;

 private:
  ExitCode code_ = ExitCode::done;
  int checks_ = 0, failed_ = 0;
};

/// "rank 3 on b", "ranks 0, 1 on a and rank 3 on b", "every rank". `hosts` are those of all ranks, in their order.
std::string places_text(std::span<const int> ranks, std::span<const std::string> hosts);

/// What ranks say, each thing once and with the ranks that say it: "rank 1 on a: no such file; ranks 2, 3 on b: ...".
/// `notes` are those of all ranks, in their order; who has nothing to say says "".
std::string notes_text(std::span<const std::string> notes, std::span<const std::string> hosts);

/// The value in the middle; of an even number the lower of the two. At least one.
double lower_median(std::vector<double> values);

/// Those whose value is more than `factor` times the lower median of all: of two ranks the slower, if it is so much
/// slower.
std::vector<int> far_above_median(const std::vector<double>& values, double factor);

}  // namespace ganymede
