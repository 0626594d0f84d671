#include "opencloc/data/import/picture_finder.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <optional>
#include <utility>

#include "opencloc/base/error.h"
#include "opencloc/base/log.h"
#include "opencloc/base/text_file.h"
#include "opencloc/data/shard/record.h"

namespace opencloc {
namespace fs = std::filesystem;
namespace {

bool all_digits(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// COCO's pictures have one number of 12 digits in all years; until 2014 their names began with
// "COCO_val2014_". Returns the name without that, empty for other names.
std::string_view without_coco_prefix(std::string_view name) {
  if (!name.starts_with("COCO_")) return {};
  const size_t end = name.find('_', 5);
  if (end == std::string_view::npos) return {};
  const std::string_view split = name.substr(5, end - 5);
  const bool known =
      split.size() > 4 && all_digits(split.substr(split.size() - 4)) &&
      (split.starts_with("train") || split.starts_with("val") || split.starts_with("test"));
  name.remove_prefix(end + 1);
  return known && name.size() > 12 && all_digits(name.substr(0, 12)) && name[12] == '.'
             ? name
             : std::string_view{};
}

// The number that a picture's whole name is.
std::optional<int64_t> whole_number(const std::string& file_name) {
  const std::string_view bare = without_coco_prefix(file_name);
  std::string_view stem = bare.empty() ? std::string_view(file_name) : bare;
  stem = stem.substr(0, stem.rfind('.'));
  int64_t number = 0;
  const auto end = stem.data() + stem.size();
  if (!all_digits(stem) || std::from_chars(stem.data(), end, number).ptr != end) return {};
  return number;
}

std::string last_part(const std::string& name) { return name.substr(name.rfind('/') + 1); }

// text = "..." + "/" + tail, or the same.
bool ends_with_parts(std::string_view text, std::string_view tail) {
  if (!text.ends_with(tail)) return false;
  return text.size() == tail.size() || text[text.size() - tail.size() - 1] == '/';
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    out += low >= 0 ? static_cast<char>(high * 16 + low) : text[i];
    if (low >= 0) i += 2;
  }
  return out;
}

// A Windows path, a URL or a path with "./" as plain parts.
std::string plain_path(std::string name) {
  std::replace(name.begin(), name.end(), '\\', '/');
  const size_t scheme = name.find("://");
  if (scheme != std::string::npos && scheme < 10) name.erase(0, scheme + 3);
  if (name.size() > 2 && name[1] == ':' && name[2] == '/') name.erase(0, 2);
  name = fs::path(name).lexically_normal().string();
  while (name.starts_with("../")) name.erase(0, 3);
  return name;
}

// Without the query of a URL; Label Studio keeps the path itself there: ?d=dir/a.jpg.
std::string without_query(const std::string& name) {
  const size_t mark = name.find('?');
  if (mark == std::string::npos) return name;
  const size_t path = name.find("d=", mark);
  return path == std::string::npos ? name.substr(0, mark) : name.substr(path + 2);
}

// Files with no ending of a picture, nor one of the files that lie beside pictures, may be
// pictures.
bool begins_like_a_picture(const fs::path& path, const std::string& extension) {
  static constexpr std::array<std::string_view, 20> kOther = {
      "txt", "json", "jsonl", "xml", "csv", "tsv",  "yaml", "yml", "md",    "npy",
      "npz", "pt",   "names", "cfg", "log", "html", "py",   "zip", "cache", "parquet"};
  if (std::find(kOther.begin(), kOther.end(), extension) != kOther.end()) return false;
  std::array<char, 12> head{};
  std::ifstream file(path, std::ios::binary);
  file.read(head.data(), head.size());
  const std::string_view bytes(head.data(), static_cast<size_t>(file.gcount()));
  return bytes.starts_with("\xff\xd8\xff") || bytes.starts_with("\x89PNG\r\n\x1a\n") ||
         bytes.starts_with("GIF8") || (bytes.starts_with("RIFF") && bytes.ends_with("WEBP"));
}

bool is_left_alone(const std::string& name) {
  return name.starts_with('.') || name == "__MACOSX" || name == "@eaDir";
}

// `inside`: the real folders that links were followed from, and where the walk is now.
void walk(const fs::path& folder, std::vector<fs::path>& inside,
          const std::function<void(const fs::path&)>& visit) {
  std::error_code ec;
  fs::directory_iterator entries(folder, fs::directory_options::skip_permission_denied, ec);
  if (ec) {
    log::warn("cannot read the folder {}: {}", folder.string(), ec.message());
    return;
  }
  for (const auto& entry : entries) {
    if (is_left_alone(entry.path().filename().string())) continue;
    std::error_code ignored;
    if (!entry.is_directory(ignored)) {
      if (entry.is_regular_file(ignored)) visit(entry.path());
      continue;
    }
    if (!entry.is_symlink(ignored)) {
      walk(entry.path(), inside, visit);
      continue;
    }
    const fs::path target = fs::canonical(entry.path(), ignored);
    inside.push_back(fs::canonical(folder, ignored));
    const bool loop = std::any_of(inside.begin(), inside.end(), [&target](const fs::path& from) {
      return std::mismatch(target.begin(), target.end(), from.begin(), from.end()).first ==
             target.end();
    });
    if (loop) {
      log::warn("passed over {}: a link to a folder that it lies in", entry.path().string());
    } else {
      walk(entry.path(), inside, visit);
    }
    inside.pop_back();
  }
}

}  // namespace

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  if (!extension.empty()) extension.erase(0, 1);
  for (char& c : extension) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return extension;
}

void for_each_file_below(const fs::path& folder,
                         const std::function<void(const fs::path&)>& visit) {
  std::vector<fs::path> inside;
  walk(folder, inside, visit);
}

PictureFinder::PictureFinder(fs::path folder) : folder_(std::move(folder)) {
  std::error_code ec;
  if (!fs::is_directory(folder_, ec)) {
    throw Error::input("no such folder of pictures", folder_.string(),
                       "check the setting 'images'");
  }
  for_each_file_below(folder_, [this](const fs::path& path) {
    const std::string extension = lower_extension(path);
    if (is_picture_extension(extension) || begins_like_a_picture(path, extension)) {
      all_.push_back(path);
    }
  });
  std::sort(all_.begin(), all_.end());
  for (size_t i = 0; i < all_.size(); ++i) {
    const std::string name = all_[i].filename().string();
    by_name_.emplace(name, i);
    if (const auto number = whole_number(name)) by_number_.emplace(*number, i);
  }
}

std::string_view PictureFinder::relative(size_t picture) const {
  std::string_view path = all_[picture].native();
  path.remove_prefix(folder_.native().size());
  while (path.starts_with('/')) path.remove_prefix(1);
  return path;
}

// The name is the path of a sibling of --images: "val/1.jpg" while --images is "train".
bool PictureFinder::lies_beside(const std::string& name, std::string_view tail) const {
  const fs::path above = fs::path(name.substr(0, name.size() - tail.size())).parent_path();
  const fs::path root = fs::absolute(folder_ / "").parent_path();
  if (above.filename().empty() || above.filename() == root.filename()) return false;
  std::error_code ec;
  return fs::is_regular_file(root.parent_path() / above.filename() / tail, ec);
}

FoundPicture PictureFinder::find_name(const std::string& name) const {
  const auto [begin, end] = by_name_.equal_range(last_part(name));
  std::vector<size_t> longer;     // pictures whose path ends with the name
  std::optional<size_t> longest;  // the longest path that the name ends with
  for (auto it = begin; it != end; ++it) {
    if (relative(it->second) == name) return {all_[it->second], {}, {}};
  }
  std::error_code ec;
  const fs::path direct = folder_ / fs::path(name);  // also "../x", absolute, hidden ones
  if (fs::is_regular_file(direct, ec)) return {direct, {}, {}};
  for (auto it = begin; it != end; ++it) {
    const std::string_view path = relative(it->second);
    if (ends_with_parts(path, name)) {
      longer.push_back(it->second);
    } else if (ends_with_parts(name, path) &&
               (!longest || path.size() > relative(*longest).size())) {
      longest = it->second;
    }
  }
  if (longer.size() > 1) {
    std::sort(longer.begin(), longer.end());
    return {{}, {}, "it could be " + all_[longer[0]].string() + " or " + all_[longer[1]].string()};
  }
  if (!longer.empty()) return {all_[longer[0]], name, {}};
  if (!longest) return {};
  if (lies_beside(name, relative(*longest)))
    return {{}, {}, "it lies outside the folder of the setting 'images'"};
  return {all_[*longest], name, {}};
}

FoundPicture PictureFinder::find(std::string_view said) const {
  std::string name(trimmed(said));
  if (name.empty()) return {};
  if (name.find("://") == std::string::npos) name = fs::path(name).lexically_normal().string();
  FoundPicture found = find_name(name);
  // Ever freer readings of the name, until one fits.
  std::string form = name;
  const auto again = [&](std::string other) {
    if (found || !found.why.empty() || other == form) return;
    form = std::move(other);
    found = find_name(form);
  };
  again(plain_path(form));
  again(plain_path(without_query(name)));
  again(plain_path(percent_decoded(without_query(name))));
  if (found || !found.why.empty()) return found;

  const std::string last = last_part(form);
  const std::string_view bare = without_coco_prefix(last);
  if (!bare.empty()) {
    found = find_name(std::string(bare));
  } else if (last.size() > 12 && last[12] == '.' && all_digits(last.substr(0, 12))) {
    for (const char* prefix :
         {"COCO_train2014_", "COCO_val2014_", "COCO_test2014_", "COCO_test2015_"}) {
      if (!found) found = find_name(prefix + last);
    }
  }
  if (found) found.claim = last;
  return found;
}

FoundPicture PictureFinder::find_numbered(int64_t number) const {
  const auto [begin, end] = by_number_.equal_range(number);
  if (begin == end) return {};
  if (std::next(begin) != end) {
    return {{},
            {},
            "it could be " + all_[begin->second].string() + " or " +
                all_[std::next(begin)->second].string()};
  }
  return {all_[begin->second], {}, {}};
}

FoundPicture PictureFinder::find_stem(const fs::path& below) const {
  for (const char* extension : {".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG", ".webp", ".bmp",
                                ".tif", ".tiff", ".gif", ".ppm"}) {
    const fs::path path = folder_ / (below.string() + extension);
    std::error_code ec;
    if (fs::is_regular_file(path, ec)) return {path, {}, {}};
  }
  return {};
}

}  // namespace opencloc
