// Text and bytes inside HTML pages.
#pragma once

#include <string>
#include <string_view>

namespace opencloc {

// &, <, >, " and ' as entities; control characters become blanks. Safe in text and in quoted
// attributes of a page that is declared UTF-8.
std::string html_escape(std::string_view text);

// RFC 4648, with padding: for data: URLs.
std::string base64(std::string_view bytes);

}  // namespace opencloc
