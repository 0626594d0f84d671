// `opencloc index remove`: pictures leave an index.
#include <filesystem>
#include <memory>

#include <spdlog/fmt/fmt.h>

#include "opencloc/base/error.h"
#include "opencloc/cli/index_flags.h"
#include "opencloc/index/filter.h"
#include "opencloc/search/picture_files.h"

namespace opencloc::cli {

void add_index_remove(CLI::App& app) {
  struct Flags : IndexFlags {
    std::vector<int64_t> ids;
    std::vector<std::string> images;
    std::string filter;
    bool missing = false;
  };
  const auto flags = std::make_shared<Flags>();
  add_index_argument(app, *flags);
  app.add_option("--ids", flags->ids, "numbers of pictures, as searches give them")
      ->delimiter(',')
      ->type_name("N");
  app.add_option("--images", flags->images,
                 "names of pictures as searches give them; a picture goes with its last name")
      ->type_name("NAME");
  app.add_option("--filter", flags->filter,
                 "pictures like these: name ~ \"/holiday/\" and width < 512, as for 'search'")
      ->type_name("EXPR");
  app.add_flag("--missing", flags->missing, "names whose file or shard is not there any more");
  app.add_flag("--json", flags->json, "print the summary as JSON");
  add_config_flag(app);
  app.footer(
      "The next search does not see what was removed. 'opencloc index compact' takes its vectors\n"
      "off the disk.\n\n"
      "Examples:\n"
      "  opencloc index remove photos.idx --missing\n"
      "  opencloc index remove photos.idx --ids 17,23\n"
      "  opencloc index remove photos.idx --filter 'name ~ \"/holiday/\" and width < 512'");
  app.callback([flags] {
    if (flags->ids.empty() && flags->images.empty() && !flags->missing && flags->filter.empty()) {
      throw Error::input("nothing is named", "index remove",
                         "give --ids, --images, --filter or --missing");
    }
    const auto store = open_store_writer(flags->index);
    IndexStoreWriter& writer = *store;
    std::vector<std::string> names;
    if (flags->missing) names = missing_names(writer.catalog());
    for (const auto& name : flags->images) {
      const auto absolute = std::filesystem::absolute(name).lexically_normal().string();
      names.push_back(writer.catalog().find_name(name) ? name : absolute);
    }
    if (!flags->filter.empty()) {
      const auto meant = filtered_pictures(writer.catalog(), PictureFilter(flags->filter));
      flags->ids.insert(flags->ids.end(), meant.begin(), meant.end());
    }
    const int64_t by_id = writer.remove(flags->ids);
    const int64_t by_name = names.empty() ? 0 : writer.remove_names(names);
    Json json = {{"index", flags->shown()}, {"removed", by_id + by_name}, {"names", names.size()}};
    print_line_or_json(*flags, json,
                       fmt::format("{}: {} pictures removed", flags->shown(), by_id + by_name));
  });
}

}  // namespace opencloc::cli
