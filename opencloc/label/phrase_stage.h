// The stage around a PhraseExtractor: the text the caption stage chose -> "phrases".
#pragma once

#include <memory>

#include "opencloc/label/phrases.h"
#include "opencloc/label/stage.h"

namespace opencloc {

// `threads` captions at a time.
std::unique_ptr<Stage> phrase_stage(std::shared_ptr<const PhraseExtractor> extractor, int threads);

}  // namespace opencloc
