// Captions from a model of our own (CoCa, `train --objective coca`): no server, and the same
// pictures get the same captions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/image/image.h"
#include "opencloc/label/captioner.h"
#include "opencloc/ops/precision.h"

namespace opencloc {

struct EmbeddedCaptionerOptions {
  std::string device = "cpu";
  Precision precision = Precision::kFp32;  // of matrix products
  Backend backend = Backend::kKernels;     // of the CPU
  int64_t max_tokens = 0;                  // 0: as many as the model has places for
  int64_t beams = 1;                       // 1 = greedy
};

// Not thread-safe.
class EmbeddedCaptioner {
 public:
  virtual ~EmbeddedCaptioner() = default;
  // One answer a picture: cleaned, or empty with the reason (clean_caption).
  virtual std::vector<CaptionAnswer> caption(std::span<const Image* const> pictures) = 0;
  // Texts among all so far that were cut at max_tokens.
  virtual int64_t cut() const = 0;
  virtual std::string model() const = 0;
  // All that decides its answers, the model among it.
  virtual Json config() const = 0;
};

// `directory`: a model directory with a text decoder. Throws Error (input).
std::unique_ptr<EmbeddedCaptioner> embedded_captioner(const std::filesystem::path& directory,
                                                      const EmbeddedCaptionerOptions& options);

}  // namespace opencloc
