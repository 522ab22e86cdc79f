#include "core/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "core/pickle_bytes.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

constexpr std::size_t most_opcodes = std::size_t{1} << 22;
constexpr int newest_protocol = 5;
constexpr std::string_view ordered_dict = "collections.OrderedDict";

struct Refused {
  unsigned char opcode;
  const char* what;
};

constexpr Refused makers_of_objects[] = {
    {'o', "OBJ"}, {0x81, "NEWOBJ"}, {0x82, "EXT1"}, {0x83, "EXT2"}, {0x84, "EXT4"}, {0x92, "NEWOBJ_EX"},
};

constexpr Refused other_kinds[] = {
    {'P', "an id in text"},
    {'S', "text of protocol 0"},
    {'V', "text of protocol 0"},
    {'B', "bytes"},
    {'C', "bytes"},
    {0x8e, "bytes"},
    {0x96, "a bytearray"},
    {0x8f, "a set"},
    {0x90, "a set"},
    {0x91, "a frozenset"},
    {0x97, "a buffer"},
    {0x98, "a buffer"},
};

const char* find(std::span<const Refused> refused, unsigned char opcode) {
  for (const Refused& entry : refused)
    if (entry.opcode == opcode) return entry.what;
  return nullptr;
}

}  // namespace

/// The stack machine.
class Pickle::Machine {
 public:
  Machine(Pickle& pickle, std::string_view bytes, std::span<const std::string_view> allowed,
          const std::string& where)
      : pickle_(pickle), bytes_(bytes, where), allowed_(allowed) {
    pickle_.values_.resize(3);
    pickle_.values_[false_index].kind = pickle_.values_[true_index].kind = Kind::boolean;
    pickle_.values_[true_index].integer = 1;
  }

  void run() {
    for (;;) {
      charge(1);
      const unsigned char opcode = bytes_.opcode();
      if (opcode == '.') break;
      const Action action = actions()[opcode];
      if (!action) refuse(opcode);
      action(*this);
    }
    pickle_.root_ = pop();
    if (!stack_.empty() || !marks_.empty()) bytes_.fail_here("values left over at its end");
    pickle_.size_ = bytes_.position();
  }

 private:
  // None and the booleans exist once.
  static constexpr Index none_index = 0, false_index = 1, true_index = 2;

  [[noreturn]] void refuse(unsigned char opcode) const {
    if (const char* maker = find(makers_of_objects, opcode)) bytes_.fail_for_code(maker);
    if (const char* kind = find(other_kinds, opcode))
      bytes_.fail_here(fmt::format("{}, where only tensors, dicts, lists, numbers and text are read", kind));
    bytes_.fail_here(fmt::format("0x{:02x} is no opcode", opcode));
  }

  /// Every opcode costs one; one that copies what others built costs as much as it copies.
  void charge(std::size_t count) {
    if (count > opcodes_left_) bytes_.fail_here(fmt::format("more than {} opcodes", most_opcodes));
    opcodes_left_ -= count;
  }

  Value& push(Kind kind) {
    stack_.push_back(static_cast<Index>(pickle_.values_.size()));
    Value& value = pickle_.values_.emplace_back();
    value.kind = kind;
    return value;
  }

  void push(Kind kind, std::vector<Index> items) { push(kind).items = std::move(items); }
  void push(Kind kind, std::string_view text) { push(kind).text = text; }
  void push(std::int64_t integer) { push(Kind::integer).integer = integer; }
  void push(double real) { push(Kind::real).real = real; }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  /// What the opcode works on; what lies below the last mark is out of its reach.
  Index top() const {
    if (stack_.size() == floor()) bytes_.fail_here("a value is missing");
    return stack_.back();
  }

  Index pop() {
    const Index index = top();
    stack_.pop_back();
    return index;
  }

  std::vector<Index> pop(std::size_t count) {
    if (stack_.size() - floor() < count) bytes_.fail_here("a value is missing");
    std::vector<Index> items(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }

  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) bytes_.fail_here("a mark is missing");
    std::vector<Index> items = pop(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }

  Value& top_of(Kind kind, const char* name) {
    Value& value = pickle_.values_[top()];
    if (value.kind != kind) bytes_.fail_here(fmt::format("something else than {}", name));
    return value;
  }

  void append(const std::vector<Index>& items) {
    std::vector<Index>& list = top_of(Kind::list, "a list").items;
    list.insert(list.end(), items.begin(), items.end());
  }

  void set(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) bytes_.fail_here("a key without value");
    std::vector<Index>& dict = top_of(Kind::dict, "a dict").items;
    dict.insert(dict.end(), items.begin(), items.end());
  }

  void push_dict(std::vector<Index> items) {
    push(Kind::dict);
    set(items);
  }

  void push_integer(std::string_view bytes) {
    if (bytes.size() > sizeof(std::int64_t)) return push(Kind::wide, bytes);
    const bool negative = !bytes.empty() && static_cast<unsigned char>(bytes.back()) >= 0x80;
    std::int64_t value = negative ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push(value);
  }

  void push_decimal(std::string_view digits) {
    if (digits.ends_with('L')) digits.remove_suffix(1);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::result_out_of_range) return push(Kind::wide, digits);
    if (error != std::errc() || end != digits.data() + digits.size())
      bytes_.fail_here(fmt::format("{} is no number", quote(digits)));
    push(value);
  }

  /// In protocol 1 the booleans are spelled as integers.
  void push_decimal_or_boolean(std::string_view digits) {
    if (digits == "00" || digits == "01")
      stack_.push_back(digits == "01" ? true_index : false_index);
    else
      push_decimal(digits);
  }

  void push_symbol(std::string_view module, std::string_view name) {
    const std::string full = fmt::format("{}.{}", module, name);
    const auto found = std::find(allowed_.begin(), allowed_.end(), full);
    if (found != allowed_.end()) return push(Kind::symbol, *found);
    if (full == ordered_dict) return push(Kind::symbol, ordered_dict);
    const std::string shown = quote(full);
    const bool is_tensor = name.ends_with("Storage") || name.starts_with("_rebuild_");
    if (is_tensor && (module == "torch" || module == "torch._utils" || module == "torch.storage"))
      bytes_.fail_here(fmt::format("{} is not read here", shown));
    bytes_.fail_for_code(shown.substr(1, shown.size() - 2));
  }

  void global() {
    const std::string_view module = bytes_.line();
    push_symbol(module, bytes_.line());
  }

  /// INST: names a class and makes an object of it.
  [[noreturn]] void instance() {
    const std::string_view module = bytes_.line();
    const std::string name = quote(fmt::format("{}.{}", module, bytes_.line()));
    bytes_.fail_for_code("an object of " + name);
  }

  void stack_global() {
    const std::vector<Index> names = pop(2);
    const Value &module = pickle_[names[0]], &name = pickle_[names[1]];
    if (module.kind != Kind::text || name.kind != Kind::text) bytes_.fail_here("a name that is not text");
    push_symbol(module.text, name.text);
  }

  /// OrderedDict's arguments: none, or from Python 2 a list of pairs.
  std::vector<Index> pairs(const Value& arguments) {
    const auto is_sequence = [](const Value& value) {
      return value.kind == Kind::list || value.kind == Kind::tuple;
    };
    std::vector<Index> items;
    if (arguments.items.empty()) return items;
    const Value& source = pickle_[arguments.items.front()];
    charge(source.items.size());
    for (const Index index : source.items) {
      const Value& pair = pickle_[index];
      if (!is_sequence(source) || !is_sequence(pair) || pair.items.size() != 2)
        bytes_.fail_here("an OrderedDict of something else than pairs");
      items.insert(items.end(), pair.items.begin(), pair.items.end());
    }
    return items;
  }

  void reduce() {
    const std::vector<Index> items = pop(2);
    const Value &function = pickle_[items[0]], &arguments = pickle_[items[1]];
    if (function.kind != Kind::symbol || arguments.kind != Kind::tuple)
      bytes_.fail_for_code("a call of what is not a function's name");
    if (function.text == ordered_dict)
      push_dict(pairs(arguments));
    else
      push(Kind::call, items);
  }

  /// Sets attributes. An OrderedDict may have some; state_dict() writes _metadata so.
  void build() {
    const Value& state = pickle_[pop()];
    if (pickle_[top()].kind != Kind::dict || state.kind != Kind::dict) bytes_.fail_for_code("BUILD");
  }

  void put(std::uint32_t name) { memo_[name] = top(); }

  void get(std::uint32_t name) {
    const auto found = memo_.find(name);
    if (found == memo_.end()) bytes_.fail_here(fmt::format("nothing was remembered as {}", name));
    stack_.push_back(found->second);
  }

  void pop_or_drop_mark() {
    if (stack_.size() == floor() && !marks_.empty())
      marks_.pop_back();
    else
      pop();
  }

  void check_protocol(std::uint8_t protocol) const {
    if (protocol > newest_protocol)
      bytes_.fail_here(fmt::format("protocol {}, where 1 to {} are known", protocol, newest_protocol));
  }

  using Action = void (*)(Machine& machine);
  static const std::array<Action, 256>& actions();

  Pickle& pickle_;
  PickleBytes bytes_;
  std::size_t opcodes_left_ = most_opcodes;
  std::span<const std::string_view> allowed_;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;  ///< sizes of the stack
  std::unordered_map<std::uint32_t, Index> memo_;
};

const std::array<Pickle::Machine::Action, 256>& Pickle::Machine::actions() {
  using M = Machine&;
  static const std::array<Action, 256> table = [] {
    std::array<Action, 256> made{};
    made[0x80] = [](M m) { m.check_protocol(m.bytes_.number<std::uint8_t>()); };
    made[0x95] = [](M m) { m.bytes_.require(m.bytes_.number<std::uint64_t>()); };

    made['N'] = [](M m) { m.stack_.push_back(none_index); };
    made[0x89] = [](M m) { m.stack_.push_back(false_index); };
    made[0x88] = [](M m) { m.stack_.push_back(true_index); };
    made['K'] = [](M m) { m.push(std::int64_t{m.bytes_.number<std::uint8_t>()}); };
    made['M'] = [](M m) { m.push(std::int64_t{m.bytes_.number<std::uint16_t>()}); };
    made['J'] = [](M m) { m.push(std::int64_t{m.bytes_.number<std::int32_t>()}); };
    made['I'] = [](M m) { m.push_decimal_or_boolean(m.bytes_.line()); };
    made['L'] = [](M m) { m.push_decimal(m.bytes_.line()); };
    made[0x8a] = [](M m) { m.push_integer(m.bytes_.take(m.bytes_.number<std::uint8_t>())); };
    made[0x8b] = [](M m) { m.push_integer(m.bytes_.take(m.bytes_.number<std::uint32_t>())); };
    made['F'] = [](M m) { m.push(m.bytes_.real_in_line()); };
    made['G'] = [](M m) {
      m.push(std::bit_cast<double>(__builtin_bswap64(m.bytes_.number<std::uint64_t>())));
    };
    made['U'] = made[0x8c] = [](M m) { m.push(Kind::text, m.bytes_.take(m.bytes_.number<std::uint8_t>())); };
    made['T'] = made['X'] = [](M m) { m.push(Kind::text, m.bytes_.take(m.bytes_.number<std::uint32_t>())); };
    made[0x8d] = [](M m) { m.push(Kind::text, m.bytes_.take(m.bytes_.number<std::uint64_t>())); };

    made['('] = [](M m) { m.marks_.push_back(m.stack_.size()); };
    made[')'] = [](M m) { m.push(Kind::tuple); };
    made[0x85] = [](M m) { m.push(Kind::tuple, m.pop(1)); };
    made[0x86] = [](M m) { m.push(Kind::tuple, m.pop(2)); };
    made[0x87] = [](M m) { m.push(Kind::tuple, m.pop(3)); };
    made['t'] = [](M m) { m.push(Kind::tuple, m.pop_to_mark()); };
    made[']'] = [](M m) { m.push(Kind::list); };
    made['l'] = [](M m) { m.push(Kind::list, m.pop_to_mark()); };
    made['a'] = [](M m) { m.append(m.pop(1)); };
    made['e'] = [](M m) { m.append(m.pop_to_mark()); };
    made['}'] = [](M m) { m.push(Kind::dict); };
    made['d'] = [](M m) { m.push_dict(m.pop_to_mark()); };
    made['s'] = [](M m) { m.set(m.pop(2)); };
    made['u'] = [](M m) { m.set(m.pop_to_mark()); };

    made['0'] = [](M m) { m.pop_or_drop_mark(); };
    made['1'] = [](M m) { m.pop_to_mark(); };
    made['2'] = [](M m) { m.stack_.push_back(m.top()); };
    made['p'] = [](M m) { m.put(m.bytes_.name_in_line()); };
    made['q'] = [](M m) { m.put(m.bytes_.number<std::uint8_t>()); };
    made['r'] = [](M m) { m.put(m.bytes_.number<std::uint32_t>()); };
    made[0x94] = [](M m) { m.put(static_cast<std::uint32_t>(m.memo_.size())); };
    made['g'] = [](M m) { m.get(m.bytes_.name_in_line()); };
    made['h'] = [](M m) { m.get(m.bytes_.number<std::uint8_t>()); };
    made['j'] = [](M m) { m.get(m.bytes_.number<std::uint32_t>()); };

    made['c'] = [](M m) { m.global(); };
    made[0x93] = [](M m) { m.stack_global(); };
    made['i'] = [](M m) { m.instance(); };
    made['R'] = [](M m) { m.reduce(); };
    made['b'] = [](M m) { m.build(); };
    made['Q'] = [](M m) { m.push(Kind::persistent, m.pop(1)); };
    return made;
  }();
  return table;
}

Pickle Pickle::parse(std::string_view bytes, std::span<const std::string_view> allowed,
                     const std::string& where) {
  Pickle pickle;
  Machine(pickle, bytes, allowed, where).run();
  return pickle;
}

}  // namespace ganymede
