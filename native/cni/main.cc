// dfw-cni: a chained CNI plugin (CNI specification 0.3.1 to 1.1.0). Tells the agent of a pod's interface, and returns when its filter is in
// force in the kernel; docs/cni.md. What the plugin before it answered goes on unchanged.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "agent_client.h"
#include "error.h"
#include "host_interface.h"

namespace dfw::cni {
namespace {

// Keeps the order of keys, so that what is passed on looks as it came.
using Json = nlohmann::ordered_json;

constexpr std::array<std::string_view, 4> kVersions{"0.3.1", "0.4.0", "1.0.0", "1.1.0"};
constexpr std::string_view kNewest = kVersions.back();
constexpr size_t kInputLimit = 4 << 20;

struct Configuration {
  Json raw;
  std::string version;
  std::string network;
  std::string socket = "/run/dfw-agent/cni.sock";
  bool passWhenAway = false;
  int connectMs = 2000;
  int timeoutMs = 10000;
};

std::string environment(const char* name) {
  const char* value = getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::string required(const char* name) {
  std::string value = environment(name);
  if (value.empty()) throw Error(Code::badEnvironment, std::string(name) + " is not set");
  return value;
}

std::string readInput() {
  std::string input;
  char part[65536];
  for (;;) {
    const size_t length = fread(part, 1, sizeof part, stdin);
    input.append(part, length);
    if (input.size() > kInputLimit) throw Error(Code::badInput, "the network configuration is too long");
    if (length < sizeof part) break;
  }
  if (ferror(stdin) != 0) throw Error(Code::io, "the network configuration cannot be read");
  return input;
}

// Of an object; "" when it is not there, or null.
std::string textAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return {};
  if (!found->is_string()) throw Error(Code::badConfiguration, std::string(key) + " is not a string");
  return found->get<std::string>();
}

void readMilliseconds(const Json& object, const char* key, int* value) {
  const auto found = object.find(key);
  if (found == object.end()) return;
  if (!found->is_number_integer() || *found < 0 || *found > 600000) throw Error(Code::badConfiguration, std::string(key) + " is a number of milliseconds from 0 to 600000");
  *value = found->get<int>();
}

Json parse(const std::string& input) {
  Json raw = Json::parse(input, nullptr, false);
  if (raw.is_discarded() || !raw.is_object()) throw Error(Code::badInput, "the network configuration is no JSON object");
  return raw;
}

Configuration readConfiguration(const std::string& input) {
  Configuration configuration;
  configuration.raw = parse(input);
  const Json& raw = configuration.raw;
  configuration.version = textAt(raw, "cniVersion");
  if (std::find(kVersions.begin(), kVersions.end(), configuration.version) == kVersions.end()) {
    throw Error(Code::incompatibleVersion, "cniVersion " + (configuration.version.empty() ? std::string("is missing") : configuration.version + " is not supported"),
                "0.3.1, 0.4.0, 1.0.0 and 1.1.0 are");
  }
  configuration.network = textAt(raw, "name");
  if (const std::string socket = textAt(raw, "socket"); !socket.empty()) configuration.socket = socket;
  const std::string away = textAt(raw, "onAgentAway");
  if (!away.empty() && away != "fail" && away != "pass") throw Error(Code::badConfiguration, "onAgentAway is fail or pass");
  configuration.passWhenAway = away == "pass";
  readMilliseconds(raw, "connectMs", &configuration.connectMs);
  readMilliseconds(raw, "timeoutMs", &configuration.timeoutMs);
  return configuration;
}

// KEY=VALUE;KEY=VALUE
std::string argument(const std::string& arguments, const std::string& key) {
  for (size_t start = 0; start < arguments.size();) {
    const size_t end = std::min(arguments.find(';', start), arguments.size());
    const std::string pair = arguments.substr(start, end - start);
    if (pair.compare(0, key.size() + 1, key + "=") == 0) return pair.substr(key.size() + 1);
    start = end + 1;
  }
  return {};
}

const Json* listAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_array() ? &*found : nullptr;
}

// Addresses of the interface itself: those of the result that name it, or none.
std::vector<std::string> addressesOf(const Json& result, const std::string& name) {
  std::vector<std::string> addresses;
  const Json* ips = listAt(result, "ips");
  const Json* interfaces = listAt(result, "interfaces");
  for (const Json& entry : ips == nullptr ? Json::array() : *ips) {
    if (!entry.is_object()) continue;
    const auto index = entry.find("interface");
    if (index != entry.end() && index->is_number_unsigned() && interfaces != nullptr) {
      const size_t position = index->get<size_t>();
      if (position >= interfaces->size() || textAt((*interfaces)[position], "name") != name || textAt((*interfaces)[position], "sandbox").empty()) continue;
    }
    const std::string address = textAt(entry, "address");
    addresses.push_back(address.substr(0, address.find('/')));
  }
  return addresses;
}

// The only interface of the host that the result names, bridges apart; "" when that is not clear.
std::string onlyHostInterface(const Json& result) {
  std::string only;
  const Json* interfaces = listAt(result, "interfaces");
  for (const Json& entry : interfaces == nullptr ? Json::array() : *interfaces) {
    if (!entry.is_object() || !textAt(entry, "sandbox").empty()) continue;
    const std::string name = textAt(entry, "name");
    if (name.empty() || !exists(name) || isBridge(name)) continue;
    if (!only.empty()) return {};
    only = name;
  }
  return only;
}

Json question(const char* command, const Configuration& configuration) {
  return Json{{"version", 1}, {"command", command}, {"network", configuration.network}, {"timeoutMs", configuration.timeoutMs}};
}

Json attachment(const char* command, const Configuration& configuration) {
  Json asked = question(command, configuration);
  asked["containerId"] = required("CNI_CONTAINERID");
  asked["vnic"] = required("CNI_IFNAME");
  return asked;
}

// Throws Error agentAway, or agentRefused with what the agent said.
void ask(const Configuration& configuration, const Json& asked) {
  const auto now = Clock::now();
  const auto answerBy = now + std::chrono::milliseconds(configuration.timeoutMs);
  const auto connectBy = std::min(now + std::chrono::milliseconds(configuration.connectMs), answerBy);
  const Json answer = Json::parse(askAgent(configuration.socket, asked.dump(), connectBy, answerBy), nullptr, false);
  if (!answer.is_object()) throw Error(Code::io, "the agent's answer is no JSON object");
  if (answer.value("ok", false)) return;
  throw Error(Code::agentRefused, "the agent refused: " + textAt(answer, "message"), textAt(answer, "code"));
}

// What ADD and CHECK tell of the pod and its interface.
Json describe(const char* command, const Configuration& configuration, const Json& result) {
  Json asked = attachment(command, configuration);
  const std::string arguments = environment("CNI_ARGS");
  const std::string nameSpace = argument(arguments, "K8S_POD_NAMESPACE");
  const std::string pod = argument(arguments, "K8S_POD_NAME");
  if (nameSpace.empty() || pod.empty()) throw Error(Code::badEnvironment, "CNI_ARGS has no K8S_POD_NAMESPACE and K8S_POD_NAME");
  const std::string name = asked["vnic"].get<std::string>();
  const ContainerInterface inside = readContainerInterface(required("CNI_NETNS"), name);
  const std::string host = inside.hostName ? *inside.hostName : onlyHostInterface(result);
  if (host.empty()) throw Error(Code::noInterface, "which interface of the host " + name + " of the container is connected to cannot be told");
  asked["pod"] = {{"namespace", nameSpace}, {"name", pod}};
  asked["interface"] = host;
  if (!inside.mac.empty()) asked["mac"] = inside.mac;
  asked["addresses"] = addressesOf(result, name);
  return asked;
}

const Json& previousResult(const Configuration& configuration) {
  const auto found = configuration.raw.find("prevResult");
  if (found == configuration.raw.end() || !found->is_object()) {
    throw Error(Code::badConfiguration, "prevResult is missing: dfw-cni stands behind another plugin in the chain");
  }
  return *found;
}

void print(const Json& value) { puts(value.dump().c_str()); }

void add(const Configuration& configuration) {
  Json result = previousResult(configuration);
  const Json asked = describe("ADD", configuration, result);
  try {
    ask(configuration, asked);
  } catch (const Error& error) {
    if (error.code != Code::agentAway || !configuration.passWhenAway) throw;
    fprintf(stderr, "dfw-cni: %s (%s): the pod has no filter (onAgentAway: pass)\n", error.what(), error.details.c_str());
  }
  if (result.find("cniVersion") == result.end()) result["cniVersion"] = configuration.version;
  print(result);
}

void check(const Configuration& configuration) {
  const Json& result = previousResult(configuration);
  ask(configuration, describe("CHECK", configuration, result));
}

// What cannot be said to the agent now, it finds out by itself when the interface is gone: a pod must not be kept from ending.
void remove(const Configuration& configuration) {
  try {
    Configuration brief = configuration;
    brief.connectMs = std::min(brief.connectMs, 200);
    ask(brief, attachment("DEL", brief));
  } catch (const Error& error) {
    if (error.code == Code::badEnvironment) throw;
    fprintf(stderr, "dfw-cni: %s (%s)\n", error.what(), error.details.c_str());
  }
}

void collect(const Configuration& configuration) {
  const Json* valid = listAt(configuration.raw, "cni.dev/valid-attachments");
  if (valid == nullptr) throw Error(Code::badConfiguration, "cni.dev/valid-attachments is missing");
  Json asked = question("GC", configuration);
  asked["valid"] = Json::array();
  for (const Json& entry : *valid) {
    if (!entry.is_object()) throw Error(Code::badConfiguration, "cni.dev/valid-attachments holds something else than objects");
    asked["valid"].push_back({{"containerId", textAt(entry, "containerID")}, {"vnic", textAt(entry, "ifname")}});
  }
  ask(configuration, asked);
}

void status(const Configuration& configuration) {
  try {
    Configuration brief = configuration;
    brief.connectMs = 0;
    ask(brief, question("STATUS", brief));
  } catch (const Error& error) {
    if (error.code == Code::agentAway && configuration.passWhenAway) return;
    throw Error(Code::notAvailable, error.what(), error.details);
  }
}

void version(const std::string& input) {
  const Json raw = input.empty() ? Json::object() : parse(input);
  const std::string asked = textAt(raw, "cniVersion");
  print({{"cniVersion", asked.empty() ? std::string(kNewest) : asked}, {"supportedVersions", kVersions}});
}

void run(std::string* cniVersion) {
  const std::string command = environment("CNI_COMMAND");
  if (command.empty()) throw Error(Code::badEnvironment, "CNI_COMMAND is not set: a container runtime runs this program (docs/cni.md)");
  const std::string input = readInput();
  if (command == "VERSION") return version(input);
  const Configuration configuration = readConfiguration(input);
  *cniVersion = configuration.version;
  if (command == "ADD") add(configuration);
  else if (command == "CHECK") check(configuration);
  else if (command == "DEL") remove(configuration);
  else if (command == "GC") collect(configuration);
  else if (command == "STATUS") status(configuration);
  else throw Error(Code::badEnvironment, "CNI_COMMAND " + command + " is none");
}

int fail(const std::string& cniVersion, Code code, const std::string& message, const std::string& details) {
  Json error{{"cniVersion", cniVersion}, {"code", static_cast<int>(code)}, {"msg", "dfw-cni: " + message}};
  if (!details.empty()) error["details"] = details;
  // Texts of others need not be UTF-8.
  puts(error.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  return 1;
}

}  // namespace
}  // namespace dfw::cni

int main() {
  std::string cniVersion(dfw::cni::kNewest);
  int result = 0;
  try {
    dfw::cni::run(&cniVersion);
  } catch (const dfw::cni::Error& error) {
    result = dfw::cni::fail(cniVersion, error.code, error.what(), error.details);
  } catch (const std::exception& error) {
    result = dfw::cni::fail(cniVersion, dfw::cni::Code::badInput, error.what(), {});
  }
  // Whoever waits for the answer must not take one that was cut off for it.
  return fflush(stdout) == 0 ? result : 1;
}
