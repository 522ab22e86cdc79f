// Lets Python see what this program reads. For each line "FROM<tab>TO" of its input it writes all that is in FROM,
// a file of weights in any container, to TO as safetensors, and answers with one line: "0<tab>FORMAT<tab>DIGEST",
// or the exit code of the error and its message.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "core/error.h"
#include "core/hash.h"
#include "core/weights_file.h"

namespace ganymede {
namespace {

std::string copy(const std::string& from, const std::string& to) {
  const WeightsFile file = WeightsFile::open(from);
  NamedTensors tensors;
  for (const auto& [name, type] : file.tensors()) tensors.emplace_back(name, file.read(name));
  write_safetensors(to, tensors);
  return fmt::format("0\t{}\t{}", name_of(file.format()), hex(file.digest()));
}

std::string answer(const std::string& line) {
  const std::size_t tab = line.find('\t');
  try {
    return copy(line.substr(0, tab), line.substr(tab + 1));
  } catch (const Error& error) {
    return fmt::format("{}\t{}", static_cast<int>(error.code()), error.what());
  }
}

}  // namespace
}  // namespace ganymede

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    fmt::print("{}\n", ganymede::answer(line));
    std::fflush(stdout);
  }
}
