// Flags that several of `opencloc data`'s verbs have.
#pragma once

#include <string>

#include "opencloc/cli/verb.h"
#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"

namespace opencloc::cli {

struct DataFlags {
  CommonFlags common;
  std::string data;
  std::string out;
  ShardSetOptions writer;
  ShardOptions reader;
  bool json = false;
};

inline void add_input_flags(CLI::App& app, DataFlags& flags) {
  app.add_option("--data", flags.data, "Shards: GLOB[::GLOB...], {000..123}, or a folder")
      ->type_name("GLOB")
      ->required();
  app.add_flag("--skip-bad-shards", flags.reader.skip_bad_shards,
               "Count shards that cannot be read instead of stopping");
  add_cache_flags(app);
}

inline void add_output_flags(CLI::App& app, DataFlags& flags) {
  app.add_option("--out", flags.out, "Folder for the shards 00000.tar, 00001.tar, ...")
      ->type_name("DIR")
      ->required();
  app.add_option("--samples-per-shard", flags.writer.samples_per_shard)->capture_default_str();
  app.add_flag("--overwrite", flags.writer.overwrite, "Replace the shards in that folder");
}

inline void add_json_flag(CLI::App& app, DataFlags& flags) {
  app.add_flag("--json", flags.json, "Results as one JSON object");
}

// data.cc: what a verb that wrote shards says.
void print_written(const DataFlags& flags, const ShardSetWriter& out, const SkipCounter& skips,
                   const Json& details = Json::object());

// data_crops.cc
void add_data_crops(CLI::App& app);
// data_look.cc
void add_data_stats(CLI::App& app);
void add_data_show(CLI::App& app);
// data_dialogues.cc
void add_data_dialogues(CLI::App& app);
void add_data_export(CLI::App& app);

// data_entities.cc
void add_data_entities(CLI::App& app);
void add_data_classes(CLI::App& app);

}  // namespace opencloc::cli
