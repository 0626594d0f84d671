// Numbers that belong to the Prompter's computation and are in no file: the Prompter
// (prompter.cc) and its ONNX graph (checkpoint/onnx/prompter.cc) read them here.
#pragma once

#include <cstdint>

#include "opencloc/model/config/config.h"

namespace opencloc::prompting {

// Rows of the type embedding.
enum TokenType : int64_t {
  kTopLeft,
  kBottomRight,
  kJoint,
  kPointType,
  kMaskPoint,
  kMaskTopLeft,
  kMaskBottomRight,
  kMaskJoint,
  kTextType,
  kTokenTypes,
};

// The encoding of the place, which says nothing about what is there, stays a small part of what is
// read from the image. (The attention sees normalised tokens: it is as before.)
inline constexpr double kPromptShare = 0.1;
// Keys are half content: places find one another sooner. Values are the tokens as the tower leaves
// them, as RoIAlign reads them, with this part of their place for the BoxHead.
inline constexpr double kKeyContent = 0.5;
inline constexpr double kValuePlace = 0.3;

// With pool all the image's tokens share keys and the mean with the prompt's few, in a proportion
// that was learned: at another image size each of them counts for so many of the grid of training.
inline double token_weight(int64_t encoding_grid, int64_t grid) {
  const auto trained = static_cast<double>(encoding_grid), now = static_cast<double>(grid);
  return trained * trained / (now * now);
}

}  // namespace opencloc::prompting
