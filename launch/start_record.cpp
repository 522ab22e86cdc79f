#include "launch/start_record.h"

#include <nlohmann/json.hpp>

#include "core/files.h"

namespace ganymede {

StartRecord StartRecord::read(const std::filesystem::path& run) {
  const auto path = run / file_name;
  return size_of_file(path) ? parse(read_text_file(path, 1 << 10)) : StartRecord{};
}

StartRecord StartRecord::parse(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  StartRecord record;
  const auto take = [&](const char* key, std::int64_t& value) {
    if (json.is_object() && json.contains(key) && json[key].is_number_integer()) value = json[key].get<std::int64_t>();
  };
  take("step", record.step);
  take("starts", record.starts);
  take("last_step", record.last_step);
  return record;
}

std::string StartRecord::text() const {
  return nlohmann::json{{"step", step}, {"starts", starts}, {"last_step", last_step}}.dump() + "\n";
}

void StartRecord::write(const std::filesystem::path& run) const { write_file_durably(run / file_name, text()); }

void StartRecord::drop(const std::filesystem::path& run) noexcept {
  std::error_code ignored;
  std::filesystem::remove(run / file_name, ignored);
}

}  // namespace ganymede
