// The files and shards that pictures of an index lie in.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "opencloc/encode/picture_source.h"
#include "opencloc/index/catalog.h"

namespace opencloc {

// Size and time of a file; zeros where there is none to look at.
struct FileState {
  int64_t bytes = 0, modified_ns = 0;
};
FileState state_of(const std::string& path);
// Absolute and without detours; names of other machines as they are.
std::string absolute_name(const std::string& path);

// "shard.tar" of "shard.tar#key" (a sample's name), the name itself of a file's.
std::string file_of(const PictureName& name);
// Where the '#' of "shard.tar#key" stands: a folder and a key may have one, too.
size_t end_of_shard(const std::string& name);
// The names whose file or shard is not there any more. Names that lead to other machines are taken
// to be there.
std::vector<std::string> missing_names(PictureCatalog& catalog);

// The pictures of `images` (files, and folders with all pictures below them) and `with_boxes`, by
// their absolute names, each once, with the regions that are wanted of them.
std::vector<PictureFile> picture_files(const std::vector<std::string>& images,
                                       const std::vector<PictureFile>& with_boxes);

}  // namespace opencloc
