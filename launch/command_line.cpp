#include "launch/command_line.h"

#include <boost/program_options.hpp>
#include <set>

#include "core/error.h"

namespace ganymede {
namespace po = boost::program_options;

std::string CommandLine::value(const std::string& flag, const std::string& otherwise) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? otherwise : found->second.front();
}

std::int64_t CommandLine::integer(const std::string& flag, std::int64_t otherwise, Range range) const {
  if (!has(flag)) return otherwise;
  std::int64_t number = otherwise;
  OptionSchema schema;
  schema.add("--" + flag, number, "", range, "");
  schema.apply({{"--" + flag, {value(flag), "command line"}}});
  return number;
}

const std::string& CommandLine::required(const std::string& flag, const std::string& what) const {
  const auto found = flags.find(flag);
  if (found == flags.end()) fail(ExitCode::options, "--{} is missing: {}", flag, what);
  return found->second.front();
}

namespace {

po::options_description describe(std::span<const Flag> flags, std::span<const std::string> keys) {
  po::options_description description;
  for (const Flag& flag : flags) {
    if (flag.argument.empty())
      description.add_options()(flag.name.c_str(), po::bool_switch());
    else if (flag.many)
      description.add_options()(flag.name.c_str(), po::value<std::vector<std::string>>()->multitoken());
    else
      description.add_options()(flag.name.c_str(), po::value<std::string>());
  }
  for (const std::string& key : keys) description.add_options()(key.c_str(), po::value<std::string>());
  return description;
}

/// Boost takes whatever word comes next for a value, another option too.
void require_value(const po::option& option) {
  for (std::size_t i = 1; i < option.original_tokens.size(); ++i)
    if (option.original_tokens[i].starts_with("--"))
      fail(ExitCode::options,
           "--{0} needs a value, and {1} is an option: write --{0}={1} if it is meant as one",
           option.string_key, option.original_tokens[i]);
}

}  // namespace

CommandLine parse_command_line(std::span<const std::string> arguments, std::span<const Flag> flags,
                               std::span<const std::string> keys, bool lenient) {
  const po::options_description description = describe(flags, keys);
  // Long names alone, in full: an abbreviation that means something today may mean something else tomorrow.
  const int style = po::command_line_style::allow_long | po::command_line_style::long_allow_adjacent |
                    po::command_line_style::long_allow_next;
  CommandLine result;
  std::vector<std::string> known;
  for (const Flag& flag : flags) known.push_back(flag.name);
  known.insert(known.end(), keys.begin(), keys.end());
  try {
    po::command_line_parser parser(std::vector<std::string>(arguments.begin(), arguments.end()));
    parser.options(description).style(style);
    if (lenient) parser.allow_unregistered();
    std::set<std::string> seen;
    for (const auto& option : parser.run().options) {
      if (option.unregistered) continue;
      const std::string& name = option.string_key;
      if (name.empty()) {
        result.positional.insert(result.positional.end(), option.value.begin(), option.value.end());
        continue;
      }
      if (!seen.insert(name).second) fail(ExitCode::options, "--{} is given twice", name);
      require_value(option);
      if (std::ranges::find(keys, name) != keys.end())
        result.settings[name] = {option.value.at(0), "command line"};
      else
        result.flags[name] = option.value.empty() ? std::vector<std::string>{"true"} : option.value;
    }
  } catch (const po::unknown_option& error) {
    std::string word = error.get_option_name();
    word.erase(0, word.find_first_not_of('-'));
    word.erase(std::min(word.find('='), word.size()));
    const std::string suggestion = nearest(word, known);
    fail(ExitCode::options, "unknown option --{}{}", word,
         suggestion.empty() ? ": --help lists them" : fmt::format(": did you mean --{}?", suggestion));
  } catch (const po::invalid_command_line_syntax& error) {
    std::string word = error.get_option_name();
    word.erase(0, word.find_first_not_of('-'));
    if (error.kind() == po::invalid_syntax::extra_parameter)
      fail(ExitCode::options, "--{} is a switch and takes no value", word);
    fail(ExitCode::options, "--{} needs a value", word);
  } catch (const po::error& error) {
    fail(ExitCode::options, "{}", error.what());
  }
  for (const std::string& word : result.positional)
    if (!lenient && word.starts_with("-") && word.size() > 1)
      fail(ExitCode::options, "unknown option {}: options begin with two dashes; --help lists them", word);
  return result;
}

std::string flag_help(std::span<const Flag> flags) {
  std::string text;
  for (const Flag& flag : flags)
    text += fmt::format("  --{:<32} {}\n",
                        flag.argument.empty() ? flag.name : flag.name + " " + flag.argument, flag.help);
  return text;
}

}  // namespace ganymede
