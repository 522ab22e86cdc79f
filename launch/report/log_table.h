#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ganymede {

/// Any number of reports as a table of at most `most` rows, in one pass and bounded memory: once it is full,
/// neighbours are merged and every row stands for twice as many reports as before. A row has each figure's
/// mean, least and greatest, and stands at its last report's step.
class LogTable {
 public:
  explicit LogTable(std::size_t most) : most_(most) {}

  /// A line of log.jsonl. What is not a finite number is passed over.
  void add(const nlohmann::json& report);

  /// {"reports_each": w, "steps": [..], "images": [..], "seconds": [..], "values": {name: {"mean": [..],
  /// "low": [..], "high": [..]}}}, numbers to six digits, null where a row has none; without low and high
  /// where w = 1. Seconds run on over restarts, which count from 0 again.
  nlohmann::json to_json() const;

 private:
  struct Figure {
    double sum = 0, low = 0, high = 0;
    std::int64_t count = 0;
    void merge(const Figure& other);
  };
  struct Row {
    std::int64_t reports = 0;
    double step = 0, images = 0, seconds = 0;
    std::vector<Figure> figures;  ///< by column; later columns may be absent
    void merge(const Row& later);
  };
  Figure& figure(Row& row, const std::string& name);
  void halve();

  std::size_t most_;
  std::int64_t reports_each_ = 1;
  std::vector<Row> rows_;
  std::map<std::string, std::size_t> columns_;
  double last_seconds_ = 0, seconds_before_ = 0;
};

}  // namespace ganymede
