// `opencloc index`: make, change and look at indexes of pictures and regions; `search` asks them.
#include "opencloc/cli/index_flags.h"

namespace opencloc::cli {

void add_index(CLI::App& app) {
  app.require_subcommand(1);
  add_index_add(*app.add_subcommand("add", "Add pictures and their regions; makes the index"));
  add_index_remove(*app.add_subcommand("remove", "Remove pictures"));
  add_index_stats(*app.add_subcommand("stats", "Say what is in an index"));
  add_index_verify(*app.add_subcommand("verify", "Check every byte of an index"));
  add_index_compact(*app.add_subcommand("compact", "Make searching as fast as it gets"));
  add_index_calibrate(
      *app.add_subcommand("calibrate", "Find with labelled data where hits should end"));
  add_index_export(*app.add_subcommand("export", "Vectors for other programs"));
  add_index_import(*app.add_subcommand("import", "An index of vectors that are there"));
  app.footer(
      "Example:\n"
      "  opencloc index add photos.idx --model runs/demo/model --images ~/Pictures\n"
      "  opencloc search photos.idx 'a red car' --html found.html");
}

}  // namespace opencloc::cli
