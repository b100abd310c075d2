// How a failed operation of the plugin becomes the error that the runtime reads (CNI specification, "Error").
#pragma once
#include <stdexcept>
#include <string>

namespace dfw::cni {

// Codes of the specification; those from 100 are ours.
enum class Code {
  incompatibleVersion = 1,
  badEnvironment = 4,
  io = 5,
  badInput = 6,
  badConfiguration = 7,
  tryAgain = 11,
  notAvailable = 50,
  noInterface = 100,
  agentAway = 101,
  agentRefused = 102,
};

struct Error : std::runtime_error {
  Error(Code code_, const std::string& message, std::string details_ = {}) : std::runtime_error(message), code(code_), details(std::move(details_)) {}
  Code code;
  std::string details;
};

// With the text of `error` (errno).
std::string systemText(int error);

}  // namespace dfw::cni
