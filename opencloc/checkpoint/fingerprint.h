// What tells two models apart whose embeddings must not be mixed.
#pragma once

#include <string>

#include "opencloc/model/cloc/cloc.h"
#include "opencloc/text/tokenizer.h"

namespace opencloc {

// 16 hexadecimal digits of the configuration (preprocessing included), every weight's bits, and
// what the tokenizer (null: none) makes of some texts. Tells accidents apart, not attacks.
std::string model_fingerprint(const Cloc& model, const Tokenizer* tokenizer);

}  // namespace opencloc
