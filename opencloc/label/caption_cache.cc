#include <cstdio>
#include <cstring>
#include <string_view>

#include "opencloc/base/error.h"
#include "opencloc/base/files.h"
#include "opencloc/base/json.h"
#include "opencloc/base/rng.h"
#include "opencloc/label/captioner.h"

namespace opencloc {
namespace {

// 128 bits, enough to tell any number of pictures apart; no defence against people who make
// pictures collide on purpose.
class Digest {
 public:
  void add(std::string_view bytes) {
    word(bytes.size());
    for (size_t i = 0; i < bytes.size(); i += 8) {
      uint64_t value = 0;
      std::memcpy(&value, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
      word(value);
    }
  }
  std::string hex() const {
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(low_),
                  static_cast<unsigned long long>(high_));
    return text;
  }

 private:
  void word(uint64_t value) {
    low_ = mix64(low_ ^ value);
    high_ = mix64(high_ + (value ^ 0xa5a5a5a55a5a5a5aULL));
  }
  uint64_t low_ = 0;
  uint64_t high_ = 1;
};

}  // namespace

std::string CaptionCache::key(const Captioner& captioner, const CaptionRequest& request) const {
  Digest digest;
  digest.add(captioner.model());
  digest.add(captioner.prompt());
  digest.add(captioner.prompt().find("{alt_text}") == std::string::npos ? "" : request.alt_text);
  digest.add(request.image);
  return digest.hex();
}

std::filesystem::path CaptionCache::path_of(const std::string& key) const {
  return folder_ / key.substr(0, 2) / (key.substr(2) + ".json");
}

std::string CaptionCache::find(const std::string& key) const {
  if (folder_.empty() || !std::filesystem::exists(path_of(key))) return {};
  try {
    return json_string(read_json(path_of(key)), "text", "", "");
  } catch (const Error&) {  // asked again, and replaced
    return {};
  }
}

void CaptionCache::keep(const std::string& key, const std::string& text) const {
  if (!folder_.empty()) write_file(path_of(key), dump_json(Json{{"text", text}}) + '\n');
}

}  // namespace opencloc
