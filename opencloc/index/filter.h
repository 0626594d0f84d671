// Which pictures of an index are meant, in words:
//   caption ~ "red car" and width >= 512
//   name ~ "/holiday/" and not (text = "dog" or text = "cat")
// Numbers: id, width, height, regions (how many), with = != < <= > >=. Texts: caption, name, text
// (of a region), with = != and ~ (holds; A to Z and a to z are the same). A picture with several
// names or texts is meant when one of them fits; != is the opposite of =, !~ of ~. and binds
// tighter than or.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "opencloc/index/catalog.h"

namespace opencloc {

class PictureFilter {
 public:
  // Throws Error (input) that says where the text stops making sense.
  explicit PictureFilter(const std::string& text);
  bool holds(const PictureEntry& entry) const { return test_(entry); }
  // Whether names or texts of regions are asked for.
  bool needs_names() const { return needs_names_; }

  using Test = std::function<bool(const PictureEntry&)>;

 private:
  Test test_;
  bool needs_names_ = false;
};

// The pictures of a catalog that a filter means, ascending.
std::vector<int64_t> filtered_pictures(PictureCatalog& catalog, const PictureFilter& filter);

}  // namespace opencloc
