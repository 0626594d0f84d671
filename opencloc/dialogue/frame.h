// Frames of coordinates: how a trainer writes a box into a text, and how it is read back. Trainers
// differ in what the numbers count (thousandths, hundredths, pixels), of what (the picture, its
// square canvas, the picture as the model resizes it) and in the signs around them. Boxes here are
// in [0, 1] of the stored picture, whatever its aspect ratio.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "opencloc/dialogue/dialogue.h"
#include "opencloc/image/box.h"

namespace opencloc {

struct PictureSize {
  int width = 0, height = 0;  // pixels of the stored picture
};

enum class Frame {
  kFerret,    // [120, 300, 580, 910]: thousandths of the picture, cut off; as Ferret prints them
  kLlava,     // [0.12, 0.3, 0.58, 0.91]: hundredths of the picture padded to a square
  kQwen2,     // <|box_start|>(120,300),(580,910)<|box_end|>: thousandths of the picture
  kQwen25,    // [77, 144, 371, 437]: pixels of the picture as Qwen2.5-VL resizes it
  kQwen3,     // [120, 300, 580, 910]: thousandths of the picture, rounded
  kInternvl,  // <box>[[120, 300, 580, 910]]</box>: thousandths of the picture, rounded
};

struct FrameOptions {
  Frame frame = Frame::kFerret;
  // Of kQwen25: a picture has no fewer and no more pixels once it is resized. The trainer must have
  // the same values. These are qwen_vl_utils'.
  int64_t min_pixels = int64_t{4} * 28 * 28;
  int64_t max_pixels = int64_t{16384} * 28 * 28;
};

// The picture as Qwen2.5-VL resizes it: sides that 28 divides. Error (input) for a picture that is
// more than 200 times as long as wide, which Qwen refuses.
PictureSize qwen_resized(PictureSize picture, int64_t min_pixels, int64_t max_pixels);

// The box, or the point, as the frame writes it.
std::string frame_text(const Box& box, PictureSize picture, const FrameOptions& options);
std::string frame_text(const PicturePoint& point, PictureSize picture, const FrameOptions& options);

// A box that a text names, with the words it is given for.
struct FoundBox {
  std::string phrase;  // trimmed; may be empty
  Box box;             // in [0, 1] of the stored picture, clipped to it; may be without area
};

// All boxes of an answer, in order. Read are [a, b, c, d] and (a, b), (c, d), whatever the frame,
// and their phrases from <ref>, <|object_ref_start|>, "label", or the words before the box back to
// the last of , . ; ! ? or the box before. Anything else (too few numbers, a bracket without its
// end) is no box.
std::vector<FoundBox> find_boxes(std::string_view text, PictureSize picture,
                                 const FrameOptions& options);

// As Ferret's own evaluation reads an answer, which is stricter: one bracket with anything but
// whole numbers in it, and the answer has no box at all. In pixels, cut off to whole ones.
std::vector<FoundBox> ferret_boxes(std::string_view text, PictureSize picture);

// Box of the picture <-> box of the picture on its square, the padding on both sides as LLaVA's
// expand2square puts it (a half pixel goes to the end). Both in [0, 1].
Box to_padded_square(const Box& box, PictureSize picture);
Box from_padded_square(const Box& box, PictureSize picture);

}  // namespace opencloc
