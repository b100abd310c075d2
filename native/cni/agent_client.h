// The agent's socket for this plugin: a frame of four bytes of length (big endian) and JSON each way, one question a connection
// (src/api/cni-server.ts).
#pragma once
#include <chrono>
#include <string>

namespace dfw::cni {

using Clock = std::chrono::steady_clock;

// The agent's answer to `question`. Asks again, until `connectBy`, while nobody listens. Throws Error agentAway when nobody listens then, or no
// answer comes by `answerBy`.
std::string askAgent(const std::string& socketPath, const std::string& question, Clock::time_point connectBy, Clock::time_point answerBy);

}  // namespace dfw::cni
