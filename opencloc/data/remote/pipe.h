// Shards that a command of the shell writes: pipe:COMMAND.
#pragma once

#include <string>

namespace opencloc {

// Runs /bin/sh -c `command` with `fd` as its standard output and waits for it. Throws Error (input)
// naming the command where it fails or writes nothing.
void run_command_into(const std::string& command, int fd);

}  // namespace opencloc
