#include "launch/report/log_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ganymede {
namespace {

/// The shortest text of six digits, so that the page stays small.
double rounded(double value) {
  return std::stod(fmt::format("{:.6g}", value));
}

double number(const nlohmann::json& report, const char* name, double otherwise) {
  const auto found = report.find(name);
  return found != report.end() && found->is_number() ? found->get<double>() : otherwise;
}

}  // namespace

void LogTable::Figure::merge(const Figure& other) {
  if (other.count == 0) return;
  low = count == 0 ? other.low : std::min(low, other.low);
  high = count == 0 ? other.high : std::max(high, other.high);
  sum += other.sum;
  count += other.count;
}

void LogTable::Row::merge(const Row& later) {
  reports += later.reports;
  step = later.step;
  images = later.images;
  seconds = later.seconds;
  figures.resize(std::max(figures.size(), later.figures.size()));
  for (std::size_t i = 0; i < later.figures.size(); ++i) figures[i].merge(later.figures[i]);
}

LogTable::Figure& LogTable::figure(Row& row, const std::string& name) {
  const std::size_t column = columns_.emplace(name, columns_.size()).first->second;
  if (row.figures.size() <= column) row.figures.resize(column + 1);
  return row.figures[column];
}

void LogTable::add(const nlohmann::json& report) {
  Row row;
  row.reports = 1;
  row.step = number(report, "step", 0);
  row.images = number(report, "images", 0);
  const double seconds = number(report, "seconds", last_seconds_);
  if (seconds < last_seconds_) seconds_before_ += last_seconds_;
  last_seconds_ = seconds;
  row.seconds = seconds_before_ + seconds;
  for (const auto& [name, value] : report.items()) {
    if (name == "step" || name == "images" || name == "seconds" || !value.is_number()) continue;
    if (const auto found = value.get<double>(); std::isfinite(found))
      figure(row, name) = {.sum = found, .low = found, .high = found, .count = 1};
  }
  if (!rows_.empty() && rows_.back().reports < reports_each_)
    rows_.back().merge(row);
  else
    rows_.push_back(std::move(row));
  if (rows_.size() > most_) halve();
}

void LogTable::halve() {
  std::vector<Row> halved;
  for (std::size_t i = 0; i < rows_.size(); ++i)
    if (i % 2 == 0)
      halved.push_back(std::move(rows_[i]));
    else
      halved.back().merge(rows_[i]);
  rows_ = std::move(halved);
  reports_each_ *= 2;
}

nlohmann::json LogTable::to_json() const {
  nlohmann::json table{{"reports_each", reports_each_},
                       {"steps", nlohmann::json::array()},
                       {"images", nlohmann::json::array()},
                       {"seconds", nlohmann::json::array()},
                       {"values", nlohmann::json::object()}};
  for (const Row& row : rows_) {
    table["steps"].push_back(static_cast<std::int64_t>(row.step));
    table["images"].push_back(static_cast<std::int64_t>(row.images));
    table["seconds"].push_back(rounded(row.seconds));
  }
  for (const auto& [name, column] : columns_) {
    nlohmann::json& parts = table["values"][name];
    for (const Row& row : rows_) {
      const Figure figure = column < row.figures.size() ? row.figures[column] : Figure{};
      const auto push = [&](const char* part, double value) {
        parts[part].push_back(figure.count > 0 ? nlohmann::json(rounded(value)) : nlohmann::json());
      };
      push("mean", figure.sum / static_cast<double>(std::max<std::int64_t>(figure.count, 1)));
      if (reports_each_ == 1) continue;
      push("low", figure.low);
      push("high", figure.high);
    }
  }
  return table;
}

}  // namespace ganymede
