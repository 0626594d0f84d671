// How well a picture fits an entity, in numbers that can be compared from picture to picture and
// from CLIP to CLIP: cosines, and how many standard deviations they lie above the same picture's
// cosines with entities that have nothing to do with it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <torch/types.h>

#include "opencloc/label/alias_table.h"
#include "opencloc/label/entity_encoder.h"

namespace opencloc {

// What entities look like: means of the pictures that were linked to them, less the mean of all
// pictures. Undefined tensors: none are known.
struct EntityPrototypes {
  std::vector<int64_t> entities;  // rows of the base, ascending
  torch::Tensor vectors;          // [P, E], of length 1
  torch::Tensor center;           // [E]
  bool known() const { return vectors.defined() && vectors.size(0) > 0; }
};

// From pictures [N, E] and the (picture, entity) pairs linked so far. Entities of fewer than
// `least` pictures get none.
EntityPrototypes make_prototypes(const torch::Tensor& pictures,
                                 const std::vector<std::pair<int64_t, int64_t>>& links,
                                 int64_t least);

enum class EvidenceKind { kPrototype, kType, kText };

struct Evidence {
  EvidenceKind kind = EvidenceKind::kText;
  double cosine = 0;
  double standard = 0;    // (cosine - mean) / deviation of the picture's cosines with others
  double percentile = 0;  // share of those below it, in [0, 100]
};

struct EvidenceOptions {
  bool prototypes = true;
  bool types = true;         // of entities without a prototype: the mean of those of their type
  bool texts = true;         // where there is neither: "name: description"
  int64_t references = 256;  // random entities whose texts a picture is compared with
  // Prototypes that a cosine is placed among, evenly over all there are: with a million of them a
  // picture is still linked in the time of a few thousand.
  int64_t most_compared = 2048;
  uint64_t seed = 0;
};

// Not thread-safe.
class PictureEvidence {
 public:
  // `encoder` outlives it.
  PictureEvidence(std::shared_ptr<const AliasTable> table, EntityEncoder& encoder,
                  const EvidenceOptions& options);

  void set_prototypes(EntityPrototypes prototypes);
  const EntityPrototypes& prototypes() const { return prototypes_; }

  // Of one picture [E] for each of the entities; none where no kind of evidence is there.
  std::vector<std::optional<Evidence>> of(const torch::Tensor& picture,
                                          const std::vector<int64_t>& entities);
  // "name: description" [n, E], of length 1.
  torch::Tensor texts(const std::vector<int64_t>& entities);
  // Texts of the random entities [R, E].
  const torch::Tensor& references();

 private:
  const std::shared_ptr<const AliasTable> table_;
  EntityEncoder& encoder_;
  const EvidenceOptions options_;
  EntityPrototypes prototypes_;
  std::unordered_map<int64_t, int64_t> prototype_of_;  // entity -> row of prototypes_.vectors
  std::map<std::string, torch::Tensor> types_;         // [E]
  torch::Tensor compared_;                             // [C, E], of prototypes_.vectors
  int64_t compared_step_ = 1;                          // every which one of them
  torch::Tensor references_;
};

// Where a cosine lies among others [R].
Evidence place_among(EvidenceKind kind, double cosine, const torch::Tensor& others);

}  // namespace opencloc
