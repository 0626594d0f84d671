// Open-vocabulary detectors behind one interface, and the stage around them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <torch/types.h>

#include "opencloc/label/stage.h"
#include "opencloc/ops/precision.h"

namespace opencloc {

// A picture and what to look for in it.
struct DetectorQuery {
  const Image* image = nullptr;
  std::vector<std::string> phrases;
};

// Not thread-safe.
class Detector {
 public:
  virtual ~Detector() = default;
  // One list a query: boxes in [0, 1] of the picture, each with its most confident phrase, scores
  // of at least `threshold`.
  virtual std::vector<std::vector<Candidate>> detect(std::span<const DetectorQuery> queries,
                                                     float threshold) = 0;
  // "owlv2", "cloc": the source of the regions it leads to.
  virtual std::string kind() const = 0;
  // All that decides its answers.
  virtual Json config() const = 0;
};

struct DetectorOptions {
  torch::Device device = torch::kCPU;
  Precision precision = Precision::kFp32;  // of matrix products
  Backend backend = Backend::kKernels;     // of the CPU
  std::filesystem::path tokenizer;         // empty: the model directory's own
  int64_t resolution = 0;                  // OWLv2: pixels a side of the canvas; 0 = as trained
};

// `directory`: transformers' OWLv2. Query embeddings are kept over pictures and shards.
std::unique_ptr<Detector> owlv2_detector(const std::filesystem::path& directory,
                                         const DetectorOptions& options);
// `directory`: a CLOC model with trained region heads. The BoxHead gives each phrase one box; its
// score is the cosine between the phrase and the region embedding of that very box (the cycle
// score), so that a box the model itself would not call so is dropped.
std::unique_ptr<Detector> cloc_detector(const std::filesystem::path& directory,
                                        const DetectorOptions& options);

// Throws Error (failed) for scores or boxes that are not finite numbers: a broken model would
// otherwise look like one that finds nothing.
void need_finite_detections(const torch::Tensor& scores, const torch::Tensor& boxes,
                            const std::string& model);

// "phrases" of the record -> "candidates" with a score of at least `threshold`.
std::unique_ptr<Stage> detect_stage(std::unique_ptr<Detector> detector, float threshold);

}  // namespace opencloc
