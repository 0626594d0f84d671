// The brackets of an answer, before their frame is known. Used by frame.cc.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace opencloc {

struct NumberedBox {
  std::string phrase;
  std::array<double, 4> numbers{};
};

// find_boxes() without the frame.
std::vector<NumberedBox> scan_boxes(std::string_view text);

}  // namespace opencloc
