// Addresses and ports: under which other machines reach this one, who listens, what is free.
#pragma once

#include <chrono>
#include <string>

namespace opencloc::dist {

// The address from which packets go to host:port. Where that is a loopback address though
// `several_machines` (a name that /etc/hosts gives to 127.0.1.1), the first other one. Throws Error
// (input) when the host has no address.
std::string address_towards(const std::string& host, int port, bool several_machines);

// Whether somebody takes a connection to host:port within that time.
bool somebody_listens(const std::string& host, int port, std::chrono::milliseconds timeout);

// A port on which nobody listens now. Throws Error (failed) when there is none.
int free_port();

}  // namespace opencloc::dist
