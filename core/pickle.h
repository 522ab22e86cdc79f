#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ganymede {

/// What a pickle of foreign origin says, as plain data. A pickle is a program for a stack machine that names
/// Python functions and calls them; here nothing is called. The opcodes of protocols 1 to 5 that build None,
/// booleans, numbers, text, lists, tuples and dicts are followed (docs.python.org, Lib/pickletools.py); a
/// function that the caller expects becomes a `symbol`, its call a `call` that nobody makes, and every other
/// name is refused.
///
/// Values lie in one table and refer to each other by index: shared and even cyclic ones cost nothing, and
/// whoever walks them must bound his steps. Text is a view into the bytes given. Memory is at most some
/// hundred bytes for each byte of the pickle, and for no more than 2^22 opcodes (160,000 tensors).
class Pickle {
 public:
  enum class Kind : std::uint8_t {
    none,
    boolean,     ///< `integer` is 0 or 1
    integer,     ///< `integer`
    wide,        ///< an integer beyond 64 bits: `text` has its little-endian bytes, in protocol 1 its digits
    real,        ///< `real`
    text,        ///< `text`, UTF-8 that nobody has checked
    list,        ///< `items`
    tuple,       ///< `items`
    dict,        ///< `items`: key, value, key, value, ...; also what was an OrderedDict
    symbol,      ///< `text` "module.name", one of those allowed
    call,        ///< `items`: the symbol, then a tuple of arguments
    persistent,  ///< `items`: what the pickle's writer stored elsewhere, by its id
  };
  using Index = std::uint32_t;
  struct Value {
    Kind kind = Kind::none;
    std::int64_t integer = 0;
    double real = 0;
    std::string_view text{};
    std::vector<Index> items{};
  };

  /// Reads the pickle at the beginning of `bytes`, which must outlive it. `allowed` are the functions that may
  /// be named, as "module.name" each, and outlive it too; collections.OrderedDict needs no mention: it becomes a dict, and
  /// attributes set on it are passed over. Throws Error(`checkpoint`), beginning with `where`: on any other
  /// name ("holds code"), on opcodes that make objects of classes, on values of other kinds (bytes, sets), on
  /// a stack that does not work out, and where `bytes` end before the pickle does.
  static Pickle parse(std::string_view bytes, std::span<const std::string_view> allowed,
                      const std::string& where);

  const Value& root() const { return values_[root_]; }
  const Value& operator[](Index index) const { return values_[index]; }
  const std::deque<Value>& values() const { return values_; }
  /// Bytes up to and with STOP.
  std::size_t size() const { return size_; }

 private:
  class Machine;
  std::deque<Value> values_;
  Index root_ = 0;
  std::size_t size_ = 0;
};

}  // namespace ganymede
