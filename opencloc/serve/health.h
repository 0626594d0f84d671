// Is the server at work?
#pragma once

#include <functional>
#include <optional>

#include "opencloc/serve/service.h"

namespace opencloc::serve {

// Whether requests will be answered: the model has worked within the last 30 seconds, or encodes a
// picture and a text now. `then` hears of an error or of none, on any thread. Not ready: while the
// server stops, when work has waited for 30 seconds, when the model fails.
void check_ready(Service& service, const CallPtr& call,
                 std::function<void(const std::optional<HttpError>&)> then);

}  // namespace opencloc::serve
