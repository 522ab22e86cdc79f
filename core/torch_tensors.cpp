#include "core/torch_tensors.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/error.h"
#include "core/strict_json.h"

namespace ganymede {
namespace {

using Kind = Pickle::Kind;
using Value = Pickle::Value;

constexpr int deepest = 64;
constexpr std::int64_t most_dimensions = 64;
constexpr std::size_t longest_key = 100;  // torch writes addresses and counters
constexpr std::int64_t least_budget = 1 << 16;
constexpr std::string_view rebuild_old = "torch._utils._rebuild_tensor";
constexpr std::string_view rebuild = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view parameter = "torch._utils._rebuild_parameter";
constexpr std::string_view parameter_with_state = "torch._utils._rebuild_parameter_with_state";

struct StorageName {
  std::string_view name;
  at::ScalarType dtype;
};

// Before 1.0 what lay on a GPU was named so.
constexpr std::string_view functions[] = {rebuild_old, rebuild, parameter, parameter_with_state,
                                          "torch.Size"};
constexpr StorageName storage_names[] = {
    {"torch.DoubleStorage", at::kDouble},     {"torch.cuda.DoubleStorage", at::kDouble},
    {"torch.FloatStorage", at::kFloat},       {"torch.cuda.FloatStorage", at::kFloat},
    {"torch.HalfStorage", at::kHalf},         {"torch.cuda.HalfStorage", at::kHalf},
    {"torch.BFloat16Storage", at::kBFloat16}, {"torch.cuda.BFloat16Storage", at::kBFloat16},
    {"torch.LongStorage", at::kLong},         {"torch.cuda.LongStorage", at::kLong},
    {"torch.IntStorage", at::kInt},           {"torch.cuda.IntStorage", at::kInt},
    {"torch.ShortStorage", at::kShort},       {"torch.cuda.ShortStorage", at::kShort},
    {"torch.CharStorage", at::kChar},         {"torch.cuda.CharStorage", at::kChar},
    {"torch.ByteStorage", at::kByte},         {"torch.cuda.ByteStorage", at::kByte},
    {"torch.BoolStorage", at::kBool},         {"torch.cuda.BoolStorage", at::kBool},
};

constexpr auto all_symbols = [] {
  std::array<std::string_view, std::size(functions) + std::size(storage_names)> names;
  auto next = std::copy(std::begin(functions), std::end(functions), names.begin());
  for (const StorageName& storage : storage_names) *next++ = storage.name;
  return names;
}();

/// Reads the values of one pickle.
class Reader {
 public:
  Reader(const Pickle& pickle, const std::string& where) : pickle_(pickle), where_(where) {}

  [[noreturn]] void fail_for(const std::string& what) const {
    fail(ExitCode::checkpoint, "{}: {}", where_, what);
  }

  const Value& item(const Value& value, std::size_t position) const { return pickle_[value.items[position]]; }

  std::int64_t count(const Value& value, const char* name) const {
    if (value.kind != Kind::integer || value.integer < 0)
      fail_for(fmt::format("a tensor's {} is no count", name));
    return value.integer;
  }

  std::vector<std::int64_t> counts(const Value& value, const char* name) const {
    if ((value.kind != Kind::tuple && value.kind != Kind::list) || std::ssize(value.items) > most_dimensions)
      fail_for(fmt::format("a tensor's {} is no list of at most {} counts", name, most_dimensions));
    std::vector<std::int64_t> numbers;
    for (std::size_t i = 0; i < value.items.size(); ++i) numbers.push_back(count(item(value, i), name));
    return numbers;
  }

  /// What a persistent id refers to: a part of a storage, or all of it.
  struct Reference {
    std::string key;
    TorchStorage storage;
    std::int64_t first = 0;
    std::int64_t numel = 0;
  };

  Reference reference(const Value& value) const {
    if (value.kind != Kind::persistent) fail_for("a tensor without storage");
    const Value& id = item(value, 0);
    if (id.kind != Kind::tuple || id.items.empty() || item(id, 0).kind != Kind::text)
      fail_for("a persistent id that is not torch's");
    if (item(id, 0).text != "storage")
      fail_for(fmt::format("holds code (a persistent id of kind {}), and none of it was run",
                           quote(item(id, 0).text)));
    // ("storage", type, key, location, numel), and in legacy files a view of it or None.
    if (id.items.size() < 5 || id.items.size() > 6 || item(id, 2).kind != Kind::text ||
        item(id, 2).text.size() > longest_key)
      fail_for("a storage's id that is not torch's");
    Reference made{std::string(item(id, 2).text),
                   {dtype_of(item(id, 1)), count(item(id, 4), "storage's size")}};
    made.numel = made.storage.numel;
    if (id.items.size() == 6 && item(id, 5).kind != Kind::none) narrow(made, item(id, 5));
    return made;
  }

  TorchTensor tensor(const Value& call) const {
    const bool is_parameter = function(call) == parameter || function(call) == parameter_with_state;
    const Value& made = is_parameter ? argument(call, 0) : call;
    const std::string_view name = function(made);  // throws where it is no call
    const Value& arguments = item(made, 1);
    const std::size_t given = arguments.items.size();
    const bool is_old = name == rebuild_old;
    if ((!is_old && name != rebuild) || given < (is_old ? 4 : 6) || given > (is_old ? 4 : 7))
      fail_for(fmt::format("{} with {} arguments", name, given));
    if (given == 7 && !says_nothing(item(arguments, 6)))
      fail_for("a tensor that is to be negated or conjugated");
    const Reference storage = reference(item(arguments, 0));
    TorchTensor tensor{{storage.storage.dtype, counts(item(arguments, 2), "shape")},
                       counts(item(arguments, 3), "strides"),
                       count(item(arguments, 1), "offset"),
                       storage.key};
    check(tensor, storage);
    return tensor;
  }

  bool is_tensor(const Value& value) const {
    return value.kind == Kind::call && function(value) != "torch.Size";
  }

 private:
  static bool says_nothing(const Value& metadata) {
    return metadata.kind == Kind::none || (metadata.kind == Kind::dict && metadata.items.empty());
  }

  std::string_view function(const Value& call) const {
    if (call.kind != Kind::call) fail_for("a parameter of something else than a tensor");
    return item(call, 0).text;
  }

  const Value& argument(const Value& call, std::size_t position) const {
    const Value& arguments = item(call, 1);
    if (position >= arguments.items.size()) fail_for(fmt::format("{} lacks an argument", function(call)));
    return item(arguments, position);
  }

  at::ScalarType dtype_of(const Value& type) const {
    for (const StorageName& known : storage_names)
      if (type.kind == Kind::symbol && type.text == known.name) return known.dtype;
    fail_for("a storage of no known type");
  }

  /// To a view (key, first, numel) of the storage.
  void narrow(Reference& whole, const Value& view) const {
    if (view.kind != Kind::tuple || view.items.size() != 3)
      fail_for("a view of a storage that is not torch's");
    whole.first = count(item(view, 1), "view");
    whole.numel = count(item(view, 2), "view");
    if (whole.first > whole.storage.numel || whole.numel > whole.storage.numel - whole.first)
      fail_for(fmt::format("a view reaches beyond its storage {}", quote(whole.key)));
  }

  void check(TorchTensor& tensor, const Reference& storage) const {
    tensor.type.check(where_);
    if (tensor.strides.size() != tensor.type.shape.size())
      fail_for(fmt::format("a tensor of {} dimensions with {} strides", tensor.type.shape.size(),
                           tensor.strides.size()));
    std::int64_t last = tensor.offset;
    bool is_empty = false, overflows = false;
    for (std::size_t d = 0; d < tensor.strides.size(); ++d) {
      std::int64_t step = 0;
      is_empty |= tensor.type.shape[d] == 0;
      overflows |= __builtin_mul_overflow(std::max<std::int64_t>(tensor.type.shape[d] - 1, 0),
                                          tensor.strides[d], &step);
      overflows |= __builtin_add_overflow(last, step, &last);
      if (tensor.type.shape[d] == 1) tensor.strides[d] = 1;  // of no account, and it may be anything
    }
    if (!is_empty && (overflows || last >= storage.numel))
      fail_for(fmt::format("a tensor of {} at offset {} reaches beyond its storage {} of {} numbers",
                           tensor.type.text(), tensor.offset, quote(storage.key), storage.numel));
    tensor.offset = is_empty ? 0 : tensor.offset + storage.first;
  }

  const Pickle& pickle_;
  const std::string& where_;
};

/// Walks from the root. What is shared is walked each time that it is met, within a budget.
class Walk {
 public:
  Walk(const Pickle& pickle, const std::string& where)
      : pickle_(pickle),
        where_(where),
        reader_(pickle, where_),
        budget_(least_budget + 64 * static_cast<std::int64_t>(pickle.size())) {}

  std::map<std::string, TorchTensor> run() {
    visit(pickle_.root(), "", true, 0);
    return std::move(tensors_);
  }

 private:
  void charge(std::int64_t cost) {
    budget_ -= cost;
    if (budget_ < 0)
      reader_.fail_for("its parts are shared so often that they make more names than it has bytes");
  }

  static bool is_container(const Value& value) {
    return value.kind == Kind::dict || value.kind == Kind::list || value.kind == Kind::tuple;
  }

  void visit(const Value& value, const std::string& name, bool is_named, int depth) {
    charge(1 + std::ssize(name));
    if (depth > deepest) reader_.fail_for(fmt::format("values nested deeper than {}", deepest));
    if (reader_.is_tensor(value)) return add(value, depth == 0 ? "tensor" : name, is_named);
    if (!is_container(value)) return;
    const std::string prefix = depth == 0 ? "" : name + ".";
    const bool is_dict = value.kind == Kind::dict;
    for (std::size_t i = 0; i < value.items.size(); i += is_dict ? 2 : 1) {
      const Value& child = reader_.item(value, is_dict ? i + 1 : i);
      charge(1);
      if (!is_container(child) && !reader_.is_tensor(child)) continue;
      const std::optional<std::string> key = is_dict ? key_of(reader_.item(value, i)) : fmt::format("{}", i);
      visit(child, prefix + key.value_or("?"), is_named && key, depth + 1);
    }
  }

  static std::optional<std::string> key_of(const Value& key) {
    if (key.kind == Kind::text) return std::string(key.text);
    if (key.kind == Kind::integer) return fmt::format("{}", key.integer);
    return std::nullopt;
  }

  void add(const Value& value, const std::string& name, bool is_named) {
    const std::string where = fmt::format("{}, tensor {}", where_, quote(name));
    if (!is_named) fail(ExitCode::checkpoint, "{} is under a key that is neither text nor an integer", where);
    TorchTensor tensor = Reader(pickle_, where).tensor(value);
    charge(64 + 16 * std::ssize(tensor.strides));
    if (!tensors_.emplace(name, std::move(tensor)).second)
      fail(ExitCode::checkpoint, "{} is there twice", where);
  }

  const Pickle& pickle_;
  const std::string& where_;
  Reader reader_;
  std::int64_t budget_;
  std::map<std::string, TorchTensor> tensors_;
};

}  // namespace

std::int64_t TorchTensor::extent() const {
  std::int64_t last = 0;
  for (std::size_t d = 0; d < strides.size(); ++d) {
    if (type.shape[d] == 0) return 0;
    last += (type.shape[d] - 1) * strides[d];
  }
  return last + 1;
}

std::span<const std::string_view> torch_symbols() {
  return all_symbols;
}

std::map<std::string, TorchStorage> torch_storages(const Pickle& pickle, const std::string& where) {
  const Reader reader(pickle, where);
  std::map<std::string, TorchStorage> storages;
  for (const Value& value : pickle.values()) {
    if (value.kind != Kind::persistent) continue;
    const Reader::Reference found = reader.reference(value);
    const auto known = storages.emplace(found.key, found.storage).first;
    if (known->second != found.storage)
      fail(ExitCode::checkpoint, "{}: its storage {} has two types or sizes", where, quote(found.key));
  }
  return storages;
}

std::map<std::string, TorchTensor> torch_tensors(const Pickle& pickle, const std::string& where) {
  return Walk(pickle, where).run();
}

}  // namespace ganymede
