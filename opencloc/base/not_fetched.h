// Files that stand for another one that was not downloaded: they are named for what they are.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace opencloc {

// "a git-lfs pointer", "a web page"; empty when the file's beginning says neither.
std::string_view stand_in(std::string_view beginning);

// Error (input) where the file's beginning says so; `path` is for the message.
void require_fetched(std::string_view beginning, const std::filesystem::path& path);
void require_fetched(std::span<const std::byte> bytes, const std::filesystem::path& path);

}  // namespace opencloc
