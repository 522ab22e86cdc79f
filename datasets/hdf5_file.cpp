#include "datasets/hdf5_file.h"

#include <hdf5.h>

#include <algorithm>
#include <cstring>

namespace ganymede {
namespace {

constexpr std::int64_t largest_text = 1 << 26;

/// An HDF5 identifier that closes itself.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*closer)(hid_t)) : id_(id), close_(closer) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  herr_t close() { return close_(std::exchange(id_, -1)); }
  operator hid_t() const { return id_; }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

/// What the library says of its newest error, from the innermost call.
std::string library_message() {
  std::string message = "no reason given";
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* error, void* text) -> herr_t {
        if (error->desc && *error->desc) *static_cast<std::string*>(text) = error->desc;
        return 1;  // stops the walk
      },
      &message);
  return message;
}

Handle half_type() {
  Handle type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  H5Tset_fields(type, 15, 10, 5, 0, 10);
  H5Tset_size(type, 2);
  H5Tset_ebias(type, 15);
  return type;
}

Handle fixed_text_type(std::size_t bytes) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type, std::max<std::size_t>(bytes, 1));
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

Handle type_of(const Hdf5File::NewArray& array) {
  if (array.type == "float16") return half_type();
  if (array.type == "text") return fixed_text_type(static_cast<std::size_t>(array.text_bytes));
  const hid_t type = array.type == "uint8"    ? H5T_STD_U8LE
                     : array.type == "int64"  ? H5T_STD_I64LE
                     : array.type == "int32"  ? H5T_STD_I32LE
                     : array.type == "uint64" ? H5T_STD_U64LE
                                              : H5T_IEEE_F32LE;
  return {H5Tcopy(type), H5Tclose};
}

std::string number_name(hid_t type) {
  const bool real = H5Tget_class(type) == H5T_FLOAT;
  const std::size_t bits = 8 * H5Tget_size(type);
  const char* kind = real ? "float" : H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int";
  const std::string name = kind + std::to_string(bits);
  if (bits > 8 && H5Tget_order(type) != H5T_ORDER_LE) return "big-endian " + name;
  const bool plain = real ? (bits == 16 ? H5Tequal(type, half_type()) > 0
                                        : H5Tequal(type, bits == 32 ? H5T_IEEE_F32LE : H5T_IEEE_F64LE) > 0)
                          : H5Tget_precision(type) == bits;
  return plain ? name : "unusual " + name;
}

std::string type_name(hid_t type) {
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
    case H5T_FLOAT:
      return number_name(type);
    case H5T_STRING:
      return "text";
    case H5T_COMPOUND:
      return "compound";
    case H5T_ENUM:
      return "enumeration";
    case H5T_REFERENCE:
      return "reference";
    case H5T_VLEN:
      return "variable-length sequence";
    default:
      return "opaque";
  }
}

Hdf5Array::Storage storage_of(hid_t properties) {
  switch (H5Pget_layout(properties)) {
    case H5D_COMPACT:
      return Hdf5Array::Storage::compact;
    case H5D_CHUNKED:
      return Hdf5Array::Storage::chunked;
    case H5D_VIRTUAL:
      return Hdf5Array::Storage::virtual_dataset;
    default:
      return H5Pget_external_count(properties) > 0 ? Hdf5Array::Storage::external
                                                   : Hdf5Array::Storage::contiguous;
  }
}

std::string trimmed(const char* text, std::size_t size) {
  return std::string(text, strnlen(text, size));
}

}  // namespace

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

struct Hdf5File::State {
  Handle file;
  std::filesystem::path path;
  ExitCode code = ExitCode::dataset;

  [[noreturn]] void refuse(const std::string& object, const std::string& what) const {
    fail(code, "{}: {} {}", path.string(), object, what);
  }
  template <class Result>
  Result check(Result result, const std::string& object, const char* action) const {
    if (result < 0) refuse(object, fmt::format("cannot be {}: {}", action, library_message()));
    return result;
  }
  Handle dataset(const std::string& name) const {
    return {check(H5Dopen2(file, name.c_str(), H5P_DEFAULT), name, "opened"), H5Dclose};
  }
  std::vector<hsize_t> shape_of(hid_t space, const std::string& name) const {
    const int rank = check(H5Sget_simple_extent_ndims(space), name, "measured");
    std::vector<hsize_t> shape(static_cast<std::size_t>(rank));
    check(H5Sget_simple_extent_dims(space, shape.data(), nullptr), name, "measured");
    return shape;
  }
  Handle new_attribute(const std::string& object, const std::string& name, hid_t type, hid_t space) const {
    const hid_t id = H5Acreate_by_name(file, object.c_str(), name.c_str(), type, space, H5P_DEFAULT,
                                       H5P_DEFAULT, H5P_DEFAULT);
    return {check(id, object + " attribute " + name, "created"), H5Aclose};
  }
  /// Invalid when absent.
  Handle attribute(const std::string& object, const std::string& name) const {
    const std::string what = object + " attribute " + name;
    if (check(H5Aexists_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT), what, "found") == 0)
      return {};
    return {
        check(H5Aopen_by_name(file, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), what, "opened"),
        H5Aclose};
  }
  /// The values of a numeric attribute of at most `limit` elements, converted to `memory`.
  template <class T>
  std::optional<std::vector<T>> values(const std::string& object, const std::string& name, H5T_class_t kind,
                                       hid_t memory, hssize_t limit) const {
    const Handle id = attribute(object, name);
    if (id < 0) return std::nullopt;
    const std::string what = object + " attribute " + name;
    const Handle type(check(H5Aget_type(id), what, "read"), H5Tclose);
    const Handle space(check(H5Aget_space(id), what, "read"), H5Sclose);
    const hssize_t count = H5Sget_simple_extent_npoints(space);
    if (H5Tget_class(type) != kind || count < 1 || count > limit)
      refuse(what, fmt::format("is {} of {} values, not one number or a few", type_name(type), count));
    std::vector<T> result(static_cast<std::size_t>(count));
    check(H5Aread(id, memory, result.data()), what, "read");
    return result;
  }
};

Hdf5File::Hdf5File(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::Hdf5File(Hdf5File&&) noexcept = default;
Hdf5File& Hdf5File::operator=(Hdf5File&&) noexcept = default;
Hdf5File::~Hdf5File() = default;

Hdf5File Hdf5File::create(const std::filesystem::path& path, std::int64_t alignment_threshold) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  auto state = std::make_unique<State>();
  state->path = path;
  state->code = ExitCode::storage;
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
  H5Pset_alignment(access, static_cast<hsize_t>(std::max<std::int64_t>(alignment_threshold, 1)), 4096);
  H5Pset_file_locking(access, false, true);
  state->file = {
      state->check(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access), "the HDF5 file", "created"),
      H5Fclose};
  return Hdf5File(std::move(state));
}

Hdf5File Hdf5File::open(const std::filesystem::path& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  auto state = std::make_unique<State>();
  state->path = path;
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access, false, true);
  state->file = {state->check(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), "the HDF5 file", "opened"),
                 H5Fclose};
  return Hdf5File(std::move(state));
}

std::int64_t Hdf5File::create_array(const std::string& name, const NewArray& array) {
  const std::vector<hsize_t> shape(array.shape.begin(), array.shape.end());
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose);
  const Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(properties, H5D_CONTIGUOUS);
  H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(properties, false);
  const Handle id(state_->check(H5Dcreate2(state_->file, name.c_str(), type_of(array), space, H5P_DEFAULT,
                                           properties, H5P_DEFAULT),
                                name, "created"),
                  H5Dclose);
  const haddr_t offset = H5Dget_offset(id);
  if (offset == HADDR_UNDEF) state_->refuse(name, "was given no place in the file");
  return static_cast<std::int64_t>(offset);
}

void Hdf5File::create_group(const std::string& name) {
  const Handle properties(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  H5Pset_obj_track_times(properties, false);
  const Handle id(state_->check(H5Gcreate2(state_->file, name.c_str(), H5P_DEFAULT, properties, H5P_DEFAULT),
                                name, "created"),
                  H5Gclose);
}

void Hdf5File::create_hard_link(const std::string& existing, const std::string& name) {
  state_->check(
      H5Lcreate_hard(state_->file, existing.c_str(), state_->file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
      name, "linked");
}

void Hdf5File::set_text(const std::string& object, const std::string& attribute, const std::string& value) {
  const Handle type = fixed_text_type(value.size());
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle id = state_->new_attribute(object, attribute, type, space);
  state_->check(H5Awrite(id, type, value.c_str()), attribute, "written");
}

void Hdf5File::set_integer(const std::string& object, const std::string& attribute, std::int64_t value) {
  const Handle space(H5Screate(H5S_SCALAR), H5Sclose);
  const Handle id = state_->new_attribute(object, attribute, H5T_STD_I64LE, space);
  state_->check(H5Awrite(id, H5T_NATIVE_INT64, &value), attribute, "written");
}

void Hdf5File::set_numbers(const std::string& object, const std::string& attribute,
                           std::span<const double> values) {
  const hsize_t count = values.size();
  const Handle space(H5Screate_simple(1, &count, nullptr), H5Sclose);
  const Handle id = state_->new_attribute(object, attribute, H5T_IEEE_F64LE, space);
  state_->check(H5Awrite(id, H5T_NATIVE_DOUBLE, values.data()), attribute, "written");
}

void Hdf5File::close() {
  state_->check(H5Fflush(state_->file, H5F_SCOPE_LOCAL), "the HDF5 file", "flushed");
  state_->check(state_->file.close(), "the HDF5 file", "closed");
}

bool Hdf5File::contains(const std::string& name) const {
  for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1)) {
    const std::string prefix = name.substr(0, end);
    if (state_->check(H5Lexists(state_->file, prefix.c_str(), H5P_DEFAULT), prefix, "found") == 0)
      return false;
    H5L_info_t link{};
    state_->check(H5Lget_info(state_->file, prefix.c_str(), &link, H5P_DEFAULT), prefix, "inspected");
    if (link.type == H5L_TYPE_SOFT)
      state_->refuse(prefix,
                     "is a soft link; expected the object itself: make it a hard link (h5py: f[a] = f[b])");
    if (link.type != H5L_TYPE_HARD)
      state_->refuse(prefix, "is a link to another file; expected the data in this one: copy them into it");
    if (end == std::string::npos) return true;
  }
}

Hdf5Array Hdf5File::describe(const std::string& name) const {
  H5O_info_t object{};
  state_->check(H5Oget_info_by_name2(state_->file, name.c_str(), &object, H5O_INFO_BASIC, H5P_DEFAULT), name,
                "inspected");
  if (object.type != H5O_TYPE_DATASET)
    state_->refuse(name, "is not a dataset; expected one of numbers or text");
  const Handle id = state_->dataset(name);
  const Handle type(state_->check(H5Dget_type(id), name, "inspected"), H5Tclose);
  const Handle space(state_->check(H5Dget_space(id), name, "inspected"), H5Sclose);
  const Handle properties(state_->check(H5Dget_create_plist(id), name, "inspected"), H5Pclose);
  Hdf5Array array;
  array.type = type_name(type);
  for (const hsize_t extent : state_->shape_of(space, name)) {
    if (extent > static_cast<hsize_t>(INT64_MAX)) state_->refuse(name, "has an impossible extent");
    array.shape.push_back(static_cast<std::int64_t>(extent));
  }
  array.element_bytes = static_cast<std::int64_t>(H5Tget_size(type));
  array.storage = storage_of(properties);
  if (array.storage == Hdf5Array::Storage::chunked) {
    array.filters = list_filters(properties);
    std::vector<hsize_t> chunk(array.shape.size());
    state_->check(H5Pget_chunk(properties, static_cast<int>(chunk.size()), chunk.data()), name, "inspected");
    unsigned chunk_options = 0;
    state_->check(H5Pget_chunk_opts(properties, &chunk_options), name, "inspected");
    if (!array.filters.empty() && (chunk_options & H5D_CHUNK_DONT_FILTER_PARTIAL_CHUNKS) != 0)
      array.filters.emplace_back("partial chunks left out");
    array.chunk.assign(chunk.begin(), chunk.end());
  }
  if (array.storage == Hdf5Array::Storage::contiguous) {
    const haddr_t offset = H5Dget_offset(id);
    if (offset != HADDR_UNDEF) {
      if (offset > static_cast<haddr_t>(INT64_MAX)) state_->refuse(name, "lies at an impossible offset");
      array.offset = static_cast<std::int64_t>(offset);
    }
  }
  return array;
}

std::vector<std::byte> Hdf5File::read(const std::string& name, std::span<const std::int64_t> start,
                                      std::span<const std::int64_t> count) const {
  const Handle id = state_->dataset(name);
  const Handle type(state_->check(H5Dget_type(id), name, "read"), H5Tclose);
  const Handle space(state_->check(H5Dget_space(id), name, "read"), H5Sclose);
  const std::vector<hsize_t> from(start.begin(), start.end()), extent(count.begin(), count.end());
  state_->check(H5Sselect_hyperslab(space, H5S_SELECT_SET, from.data(), nullptr, extent.data(), nullptr),
                name, "read");
  const Handle memory(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose);
  std::vector<std::byte> bytes(static_cast<std::size_t>(H5Sget_simple_extent_npoints(memory)) *
                               H5Tget_size(type));
  state_->check(H5Dread(id, type, memory, space, H5P_DEFAULT, bytes.data()), name, "read");
  return bytes;
}

std::vector<Hdf5Chunk> Hdf5File::chunks(const std::string& name) const {
  const Handle id = state_->dataset(name);
  const Handle space(state_->check(H5Dget_space(id), name, "inspected"), H5Sclose);
  const Handle properties(H5Fget_create_plist(state_->file), H5Pclose);
  hsize_t user_block = 0;
  state_->check(H5Pget_userblock(properties, &user_block), name, "inspected");
  std::vector<Hdf5Chunk> chunks = list_chunks(id, state_->shape_of(space, name).size());
  for (Hdf5Chunk& chunk : chunks) chunk.offset += static_cast<std::int64_t>(user_block);
  return chunks;
}

std::vector<std::byte> Hdf5File::read_chunk(const std::string& name, const Hdf5Chunk& chunk) const {
  const Handle id = state_->dataset(name);
  const std::vector<hsize_t> first(chunk.first.begin(), chunk.first.end());
  std::vector<std::byte> bytes(static_cast<std::size_t>(chunk.bytes));
  std::uint32_t left_out = 0;
  hsize_t size = 0;
  state_->check(H5Dget_chunk_storage_size(id, first.data(), &size), name, "read");
  if (size != bytes.size()) state_->refuse(name, "has an index of chunks that contradicts itself");
  state_->check(H5Dread_chunk(id, H5P_DEFAULT, first.data(), &left_out, bytes.data()), name, "read");
  return bytes;
}

std::vector<std::string> Hdf5File::read_texts(const std::string& name) const {
  const Handle id = state_->dataset(name);
  const Handle type(state_->check(H5Dget_type(id), name, "read"), H5Tclose);
  const Handle space(state_->check(H5Dget_space(id), name, "read"), H5Sclose);
  const std::vector<hsize_t> shape = state_->shape_of(space, name);
  if (H5Tget_class(type) != H5T_STRING || shape.size() != 1)
    state_->refuse(name,
                   fmt::format("holds {} with {} axes; expected text [K]", type_name(type), shape.size()));
  const bool variable = H5Tis_variable_str(type) > 0;
  const std::size_t width = H5Tget_size(type);
  if (shape[0] > static_cast<hsize_t>(largest_text) / std::max<std::size_t>(width, 1))
    state_->refuse(
        name, fmt::format("declares {} strings; expected at most {} bytes of them", shape[0], largest_text));
  std::vector<std::string> texts;
  if (variable) {
    std::vector<char*> pointers(shape[0], nullptr);
    state_->check(H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()), name, "read");
    for (const char* text : pointers) texts.emplace_back(text ? text : "");
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
  } else {
    std::vector<char> bytes(shape[0] * width);
    state_->check(H5Dread(id, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), name, "read");
    for (hsize_t i = 0; i < shape[0]; ++i) texts.push_back(trimmed(bytes.data() + i * width, width));
  }
  return texts;
}

std::optional<std::string> Hdf5File::text(const std::string& object, const std::string& attribute) const {
  const Handle id = state_->attribute(object, attribute);
  if (id < 0) return std::nullopt;
  const std::string what = object + " attribute " + attribute;
  const Handle type(state_->check(H5Aget_type(id), what, "read"), H5Tclose);
  const Handle space(state_->check(H5Aget_space(id), what, "read"), H5Sclose);
  const std::size_t width = H5Tget_size(type);
  if (H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) != 1 || width > largest_text)
    state_->refuse(what, fmt::format("is {}; expected one text", type_name(type)));
  if (H5Tis_variable_str(type) <= 0) {
    std::string value(width, '\0');
    state_->check(H5Aread(id, type, value.data()), what, "read");
    return trimmed(value.data(), width);
  }
  char* value = nullptr;
  state_->check(H5Aread(id, type, &value), what, "read");
  std::string result = value ? value : "";
  H5Dvlen_reclaim(type, space, H5P_DEFAULT, &value);
  return result;
}

std::optional<std::int64_t> Hdf5File::integer(const std::string& object, const std::string& attribute) const {
  const auto values = state_->values<std::int64_t>(object, attribute, H5T_INTEGER, H5T_NATIVE_INT64, 1);
  return values ? std::optional(values->front()) : std::nullopt;
}

std::optional<std::vector<double>> Hdf5File::numbers(const std::string& object,
                                                     const std::string& attribute) const {
  return state_->values<double>(object, attribute, H5T_FLOAT, H5T_NATIVE_DOUBLE, 16);
}

}  // namespace ganymede
