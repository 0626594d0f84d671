// What entities look like, from the data itself: before the shards are linked one by one, a pass
// over some of their pictures makes prototypes, which then serve all processes alike.
//   round 1  pictures whose mention can mean one entity only
//   round r  all pictures, as they are linked with the prototypes of round r - 1
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "opencloc/data/shard/shard_reader.h"
#include "opencloc/label/linker.h"
#include "opencloc/label/pipeline.h"

namespace opencloc {

struct PrototypeOptions {
  std::vector<std::string> shards;  // of all processes together
  int64_t pictures = 100'000;       // that are looked at, the first ones of every shard; 0 = all
  int64_t least = 3;                // pictures of an entity with a prototype
  int threads = 1;                  // decoding
  ShardOptions reader;
};

// Gives the linker its prototypes, and writes them to `file` (entities [P] rows of the base,
// vectors [P, E], center [E]; seen [2, S]: rows and how many pictures name them without ambiguity).
// A file that is there already and was made with the same settings is taken; made with others it is
// an Error (input), unless `overwrite`. `before`: the stages that bring the mentions, when they are
// not in the records yet; their counts are reset. Embeddings of the pictures are held: 4 E bytes
// each.
void prepare_prototypes(Linker& linker, const PrototypeOptions& options,
                        std::vector<std::unique_ptr<Stage>>& before,
                        const std::filesystem::path& file, bool overwrite);

}  // namespace opencloc
