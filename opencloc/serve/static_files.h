// The page's files, which lie in the binary (folder web/ of the sources, cmake embeds it).
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "opencloc/serve/http.h"
#include "opencloc/serve/router.h"

namespace opencloc::serve {

struct StaticFile {
  std::string_view name;  // "app.js"; "index.html" is shown at "/"
  std::string_view bytes;
};

// In the order of their names; empty where the sources have no page.
std::span<const StaticFile> static_files();
// A route for each.
std::span<const Route> static_routes();
// With the headers that keep a page to itself: nothing is loaded from elsewhere, no script but its
// own runs, no other page shows it in a frame. 304 when the client has it.
HttpResponse static_answer(const StaticFile& file, const HttpRequest& request);

}  // namespace opencloc::serve
