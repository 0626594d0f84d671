// A question as somebody types it: "What is the object [120, 300, 580, 910]?"
#pragma once

#include <string_view>

#include "opencloc/dialogue/dialogue.h"
#include "opencloc/dialogue/frame.h"

namespace opencloc {

// A dialogue of one turn without an answer. Brackets with four numbers become boxes, with two
// numbers points, read in the frame. Error (input): a bracket with numbers outside the picture, a
// text that is empty, or one that holds a mark of dialogues (<image>, <box0>, ...).
Dialogue parse_question(std::string_view text, PictureSize picture, const FrameOptions& frame);

}  // namespace opencloc
