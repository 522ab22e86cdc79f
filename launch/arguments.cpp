#include "launch/arguments.h"

#include <boost/program_options/parsers.hpp>
#include <boost/program_options/positional_options.hpp>

#include "core/error.h"
#include "core/options.h"

namespace ganymede {
namespace {

namespace po = boost::program_options;

[[noreturn]] void fail_unknown(std::string_view command, const po::options_description& options,
                               const std::string& name) {
  std::vector<std::string> known;
  for (const auto& option : options.options()) known.push_back("--" + option->long_name());
  const std::string meant = nearest(name, known);
  fail(ExitCode::options, "ganymede {} knows no option {}: {}", command, name,
       meant.empty() ? "see --help" : "did you mean " + meant + "?");
}

[[noreturn]] void fail_value(const po::options_description& options, const std::string& name,
                             const std::string& problem) {
  const po::option_description* option = options.find_nothrow(name, false);
  fail(ExitCode::options, "--{}: {}; {}", name, problem,
       option == nullptr ? "see --help" : option->description());
}

}  // namespace

po::variables_map parse_arguments(std::string_view command, const po::options_description& options,
                                  std::span<const std::string> arguments) {
  po::options_description all;
  all.add(options);
  all.add_options()("paths", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("paths", -1);
  using namespace po::command_line_style;
  constexpr int style = allow_long | long_allow_adjacent | long_allow_next;
  po::variables_map values;
  try {
    po::store(po::command_line_parser(std::vector<std::string>(arguments.begin(), arguments.end()))
                  .options(all)
                  .positional(positional)
                  .style(style)
                  .run(),
              values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    fail_unknown(command, options, error.get_option_name());
  } catch (const po::multiple_occurrences& error) {
    const std::string name = error.get_option_name();
    fail(ExitCode::options, "{} is given twice: which one is meant?", name);
  } catch (const po::validation_error& error) {
    const std::string name = error.get_option_name();
    fail_value(options, name.substr(name.find_first_not_of('-')), "this value is not of its kind");
  } catch (const po::invalid_command_line_syntax& error) {
    const std::string name = error.get_option_name();
    fail_value(
        options, name.substr(name.find_first_not_of('-')),
        error.kind() == po::invalid_syntax::extra_parameter ? "takes no value" : "its value is missing");
  } catch (const po::error& error) {
    fail(ExitCode::options, "ganymede {}: {}; see --help", command, error.what());
  }
  return values;
}

std::vector<std::string> paths_of(const po::variables_map& values) {
  return values.count("paths") != 0 ? values["paths"].as<std::vector<std::string>>()
                                    : std::vector<std::string>();
}

}  // namespace ganymede
