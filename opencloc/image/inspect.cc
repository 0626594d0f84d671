#include "opencloc/image/inspect.h"

#include <exception>

#include "opencloc/base/files.h"
#include "opencloc/image/image.h"

namespace opencloc {

Json inspect_image_file(const std::filesystem::path& path) {
  ImageInfo info;
  try {
    info = probe_image(read_file(path));
  } catch (const std::exception& error) {
    info.error = error.what();
  }
  Json result;
  result["path"] = path.string();
  result["ok"] = info.ok;
  result["format"] = info.format;
  result["width"] = info.width;
  result["height"] = info.height;
  result["mode"] = info.mode;
  result["error"] = info.error;
  return result;
}

}  // namespace opencloc
