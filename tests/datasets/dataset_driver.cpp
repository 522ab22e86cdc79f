#include <fmt/format.h>

#include <new>

#include "core/error.h"
#include "launch/dataset_command.h"

// The dataset subcommand alone, called as the whole program would be: dataset_driver dataset pack ...
int main(int count, char** words) {
  const std::vector<std::string> arguments(words + std::min(count, 2), words + count);
  try {
    return ganymede::dataset_command(arguments);
  } catch (const ganymede::Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    return static_cast<int>(ganymede::ExitCode::memory);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bug: {}\n", error.what());
    return static_cast<int>(ganymede::ExitCode::bug);
  }
}
