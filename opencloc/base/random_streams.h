// The random streams that are named by a number alone, so that no two of them share their numbers:
// Rng(seed, {stream, ...}). Numbers are never given anew: runs of before must draw what they drew.
#pragma once

#include <cstdint>

namespace opencloc::random_stream {

enum : uint64_t {
  kMix = 101,            // which source a sample comes from
  kShuffle = 102,        // the order of a source's samples
  kNoise = 103,          // noise on labels, apart from the augmentation's, and without the epoch
  kTokenizer = 104,      // samples that a tokenizer is built from
  kPreflight = 105,      // samples looked at before step 1
  kPrompterStart = 106,  // pictures that a new Prompter's start is fitted to
  kReplace = 107,        // samples in place of broken ones
  kRatedBoxes = 108,     // boxes that the quality head is trained on
  kMasks = 109,          // which patches and words are hidden
  kViews = 110,          // views of a picture for SimCLR
  kEntity = 111,         // which entity of a picture is learned
  kEntityClasses = 112,  // classes that a step compares with
  kEntityRows = 113,     // the classes' vectors before step 1
  kNegatives = 116,      // which wrong texts of a region are compared
  kCaptionedView = 115,  // a second crop of a picture with the same text
  kBoxCrops = 117,       // boxes whose crops a teacher reads
};

}  // namespace opencloc::random_stream
