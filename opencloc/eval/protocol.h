// Published evaluations by name. A protocol fixes what else would be a matter of taste: which boxes
// count, templates, text case, resolution, canvas, how a box is read, which average is quoted. It
// is a list of settings of `eval`, so that nothing is hidden, and what was set otherwise is known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "opencloc/base/json.h"

namespace opencloc {

struct ProtocolSetting {
  const char* name;   // of eval: "region_templates"
  const char* value;  // as on the command line; lists by comma
};

struct Protocol {
  const char* name;
  const char* what;                   // whose evaluation it is, and on which data
  std::vector<const char*> headline;  // the figures that are quoted: "TASK/FIGURE"
  std::vector<ProtocolSetting> settings;
};

const std::vector<Protocol>& protocols();
// Error (input) for an unknown name, which lists the known ones.
const Protocol& find_protocol(std::string_view name);

// {"name", "what", "fixed": {setting: value}, "changed": [settings that were given beside it and
// are not in "fixed"], "headline": {"TASK/FIGURE": number of `results`}}. Figures that a task did
// not give are left out of the headline.
Json protocol_report(const Protocol& protocol, const std::vector<std::string>& changed,
                     const Json& results);

}  // namespace opencloc
