#pragma once

#include <cstdint>

namespace ganymede {

/// What a character is to GPT-2's pattern of words: \p{L}, \p{N}, \s, or none of these.
enum class CharacterClass { letter, number, space, other };

/// Of a code point, as Unicode 17 has it.
CharacterClass class_of_character(std::uint32_t code);

}  // namespace ganymede
