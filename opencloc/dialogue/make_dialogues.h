// Dialogues for all pictures of a data set.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/data/shard/shard_writer.h"
#include "opencloc/dialogue/maker.h"

namespace opencloc {

// A record whose picture was decoded, with its place in the data.
struct Pictured {
  Record record;
  std::string name;    // "shard.tar#key"
  uint64_t place = 0;  // number among the good samples of the data
  int width = 0, height = 0;
};

// Calls visit() for every good sample of the shards, in order; pictures are decoded on `threads`
// threads, and those that cannot be are counted (skip::kBadImage).
void for_each_picture(const std::vector<std::string>& shards, const ShardOptions& options,
                      int threads, SkipCounter& skips,
                      const std::function<void(Pictured&&)>& visit);

struct DialogueRun {
  MakerOptions maker = {};
  std::filesystem::path templates = {};  // empty = the built-in ones
  ShardOptions shards = {};
  int threads = 1;
  std::function<void()> progress = {};  // called once a sample
};

// Writes the records with "dialogues", which replace those they had. Records of which nothing can
// be asked are left out and counted (skip::kNoDialogue). Returns the counts of questions
// (DialogueMaker::counts()). The output depends on the data and the options, not on `threads`.
// Error (input) when nothing came out.
std::map<std::string, int64_t> make_dialogues(const std::vector<std::string>& shards,
                                              const DialogueRun& run, ShardSetWriter& out,
                                              SkipCounter& skips);

// "refer:20,ground" -> {refer: 20, ground: 1}. Error (input) for unknown tasks and weights that are
// no numbers above 0.
std::map<std::string, double> parse_mix(const std::vector<std::string>& tasks);

}  // namespace opencloc
