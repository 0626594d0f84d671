// One conversation in a trainer's layout. Used by export.cc.
#pragma once

#include <string>
#include <vector>

#include "opencloc/base/json.h"
#include "opencloc/dialogue/dialogue.h"
#include "opencloc/dialogue/export.h"

namespace opencloc {

struct ExportedPicture {
  std::string id;    // of the conversation
  std::string file;  // below images/
  PictureSize size;
};

// The dialogues as one conversation: a JSON object as the trainer's dataset reads it. BadSample for
// a box that the trainer would refuse.
Json conversation(const std::vector<Dialogue>& dialogues, const ExportedPicture& picture,
                  const ExportOptions& options);

// The file that holds conversations of this task, or of several tasks (""). Ferret's dataset class
// tells its sources by the file's name, and all of them read the same layout.
std::string file_of_task(ExportFormat format, const std::string& task);

// The pixel whose thousandths, as Ferret computes them (int(pixel * 1000 / side)), are nearest to
// the true ones; the last pixel is side - 1.
int ferret_pixel(double value, int side);

}  // namespace opencloc
