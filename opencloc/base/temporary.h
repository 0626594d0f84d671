// Names of temporary files and folders. They differ between the threads of a process, between
// processes, and between machines and containers that share a disk, and they say whose they are:
// ".NAME.OWNER-N.tmp", where OWNER is the machine, the process and the moment it began.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace opencloc {

// OWNER of this process.
std::string owner_tag();

// True only for a process of this machine (and container) that has ended. Nothing can be said of
// another machine's processes: their files are left alone.
bool owner_is_gone(std::string_view owner);

// A name beside `path` that no one else has; each call gives another one.
std::filesystem::path temporary_beside(const std::filesystem::path& path);

// Whether temporary_beside() made this file name (for `target`, where one is given).
bool is_temporary(std::string_view name, std::string_view target = {});
// Such a name, of an owner that is gone.
bool is_abandoned(std::string_view name, std::string_view target = {});

// Removes what processes that are gone left of `target` in `folder`; of every target without one.
void remove_abandoned(const std::filesystem::path& folder, std::string_view target = {});

}  // namespace opencloc
