#include "opencloc/base/temporary.h"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include <unistd.h>

#include "opencloc/base/host_name.h"
#include "opencloc/base/rng.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kTemporaryEnd = ".tmp";
constexpr size_t kLongestName = NAME_MAX;

// Files of /proc; empty where there are none.
std::string text_of_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Eight hexadecimal digits: the name of the machine, this start of its system, and the space that
// process numbers are counted in (containers of one machine have their own).
std::string machine_tag() {
  char space[64] = {};
  const ssize_t length = ::readlink("/proc/self/ns/pid", space, sizeof space - 1);
  std::string text = host_name() + '\n' + text_of_file("/proc/sys/kernel/random/boot_id");
  if (length > 0) text.append(space, static_cast<size_t>(length));
  uint64_t hash = text.size();
  for (const char c : text) hash = mix64(hash ^ static_cast<unsigned char>(c));
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(hash >> 32));
  return digits;
}

const std::string& this_machine() {
  static const std::string tag = machine_tag();
  return tag;
}

// When a process began, in clock ticks since the system did; 0 when that is not known. Process
// numbers are used again, these pairs are not.
uint64_t start_of(int64_t process) {
  const std::string stat = text_of_file(("/proc/" + std::to_string(process) + "/stat").c_str());
  const size_t name_end = stat.rfind(')');  // the name may hold spaces
  if (name_end == std::string::npos) return 0;
  size_t at = name_end + 1;
  constexpr int kFieldsBetween = 19;  // "state" follows the name; the start is the 20th from there
  for (int i = 0; i < kFieldsBetween && at != std::string::npos; ++i) at = stat.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  uint64_t start = 0;
  std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), start);
  return start;
}

struct Owner {
  std::string_view machine;
  int64_t process = 0;
  uint64_t start = 0;
};

// "MACHINE-PROCESS-START", and what follows another '-'.
std::optional<Owner> parse_owner(std::string_view text) {
  std::vector<std::string_view> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('-', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  if (parts.size() < 3 || parts[0].size() != 8) return std::nullopt;
  Owner owner{parts[0]};
  const auto number = [](std::string_view digits, auto& value) {
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && stop == digits.data() + digits.size();
  };
  if (!number(parts[1], owner.process) || !number(parts[2], owner.start) || owner.process <= 0)
    return std::nullopt;
  return owner;
}

// The "OWNER-N" of a temporary name of `target`; empty when it is none.
std::string_view owner_part(std::string_view name, std::string_view target) {
  if (!name.starts_with('.') || !name.ends_with(kTemporaryEnd)) return {};
  name.remove_prefix(1);
  name.remove_suffix(kTemporaryEnd.size());
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  // Long names were cut.
  if (!target.empty() && name.substr(0, dot) != target.substr(0, dot)) return {};
  const auto part = name.substr(dot + 1);
  return parse_owner(part) ? part : std::string_view();
}

}  // namespace

std::string owner_tag() {
  const int64_t process = ::getpid();
  return this_machine() + '-' + std::to_string(process) + '-' + std::to_string(start_of(process));
}

bool owner_is_gone(std::string_view text) {
  const auto owner = parse_owner(text);
  if (!owner || owner->machine != this_machine()) return false;
  if (::kill(static_cast<pid_t>(owner->process), 0) != 0 && errno == ESRCH) return true;
  const uint64_t start = start_of(owner->process);
  return start != 0 && owner->start != 0 && start != owner->start;
}

fs::path temporary_beside(const fs::path& path) {
  static std::atomic<uint64_t> count{0};
  const std::string end =
      '.' + owner_tag() + '-' + std::to_string(count++) + std::string(kTemporaryEnd);
  std::string name = '.' + path.filename().string();
  if (name.size() + end.size() > kLongestName) name.resize(kLongestName - end.size());
  return path.parent_path() / (name + end);
}

bool is_temporary(std::string_view name, std::string_view target) {
  return !owner_part(name, target).empty();
}

bool is_abandoned(std::string_view name, std::string_view target) {
  const auto owner = owner_part(name, target);
  return !owner.empty() && owner_is_gone(owner);
}

void remove_abandoned(const fs::path& folder, std::string_view target) {
  std::error_code error;
  std::vector<fs::path> found;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    if (is_abandoned(at->path().filename().string(), target)) found.push_back(at->path());
  }
  for (const auto& path : found)
    fs::remove_all(path, error);  // what stays is tried again next time
}

}  // namespace opencloc
