#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ganymede {

/// Names and numbers of the dataset file's format, which DatasetWriter writes and inspect_file() expects.
namespace schema {
inline constexpr std::string_view format = "ganymede-images";
inline constexpr std::int64_t version = 1;
inline constexpr std::string_view digest_algorithm = "XXH3-64";
inline constexpr std::int64_t largest_block_bytes = std::int64_t{1} << 30;
/// Classes without names: nothing else tells a damaged label. Also a bound on names.
inline constexpr std::int64_t most_classes = 1 << 24;
/// Numbers that come with one image: captions x numbers of each.
inline constexpr std::int64_t most_embedding_numbers = std::int64_t{1} << 24;
/// Of one caption.
inline constexpr std::int64_t most_tokens = 1 << 16;
/// Of the array that holds all images at side x side pixels: the images themselves, or smaller copies.
std::string level_name(std::int64_t side);
/// Sides of the smaller copies that images of so many pixels can have: half, a quarter, ... down to 4; none where they
/// are not square or their side is no power of two.
std::vector<std::int64_t> level_sides(std::int64_t height, std::int64_t width);
}  // namespace schema

/// Bytes that one digest covers: as many whole images as fit 1 MiB, at least one. Small enough that checking
/// the block of an image read at random costs little, large enough that the digests of a terabyte fit 8 MB.
std::int64_t digest_block_bytes(std::int64_t item_bytes);

/// The product of `factors`, or -1 if one is negative or it does not fit 63 bits.
std::int64_t checked_product(std::span<const std::int64_t> factors);

/// Whether `text` is well-formed UTF-8 without null characters.
bool is_utf8(std::string_view text);

}  // namespace ganymede
