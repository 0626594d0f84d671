// Classification over a list of names: which samples have one of the names, and which number.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/types.h>

namespace opencloc {

// The samples that can be classified.
struct ClassTargets {
  std::vector<std::string> classes;
  torch::Tensor rows;     // [n] int64: the samples whose name is a class
  torch::Tensor targets;  // [n] int64: their class
  int64_t left_out = 0;   // samples named otherwise
};

// `names`: one a sample, null = has none (not counted). `classes` empty: the distinct names,
// sorted. A name that is listed twice is one class; "traffic_light" and "traffic light" are the
// same name, the second one is what the model is asked for.
//
// `labels`, where there are any: one a class, by which samples may be named, too ("n01440764"). All
// classes are kept then, names that stand there twice among them; a sample that is called by such a
// name belongs to the first.
ClassTargets class_targets(const std::vector<const std::string*>& names,
                           const std::vector<std::string>& classes,
                           const std::vector<std::string>& labels = {});

}  // namespace opencloc
