// Supervision by entities, as MOFI has it (Wu et al., 2023, arXiv 2306.07952): L_entity, a softmax
// over a sample of millions of classes, beside any other objective or instead of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "opencloc/objective/entity_head.h"
#include "opencloc/objective/objective.h"

namespace opencloc {

struct EntityOptions {
  double weight = 0.5;        // of L_entity beside the objective
  int64_t negatives = 65536;  // classes of a step beside those of its pictures; all where C is less
  double margin = 0.15;       // of cosines; grows from 0 over the warm-up
  double scale = 32;          // of cosines
  int64_t warmup = 0;         // steps
  uint64_t seed = 0;          // of the sample of classes, with the step
};

// The classes that a step compares with, ascending: those of the group's pictures (`positives`, of
// [0, classes), in any order, repeats allowed) and `negatives` distinct ones drawn uniformly from
// all, or all there are. Follows from its arguments.
std::vector<int64_t> sampled_classes(const std::vector<int64_t>& positives, int64_t classes,
                                     const EntityOptions& options, int64_t step);
// The margin of a step, from 0 on.
double margin_at(const EntityOptions& options, int64_t step);

// L = L_base + weight L_entity; `base` is an objective of the table (self-supervision goes around
// this one) that encodes pictures as "image", and no captioner's. Batches need entity,
// entity_others_begin and entity_others. L_entity is the mean over the group's pictures with an
// entity. `table`: what tells its classes from others', kept in state(); another one is an Error
// (input) of load_state().
std::unique_ptr<Objective> with_entities(std::unique_ptr<Objective> base, const Cloc& model,
                                         const std::shared_ptr<EntityHead>& head,
                                         const EntityOptions& options, const std::string& table);

}  // namespace opencloc
