// The host's end of a container's interface, as the kernel knows it (rtnetlink(7), veth(4)).
#pragma once
#include <optional>
#include <string>

namespace dfw::cni {

struct ContainerInterface {
  std::string mac;
  // Name of the other end in the network namespace that the plugin runs in; nullopt: it is no veth, or its other end is somewhere else.
  std::optional<std::string> hostName;
};

// Throws Error: io when the namespace cannot be entered, noInterface when it has no interface of that name.
ContainerInterface readContainerInterface(const std::string& namespacePath, const std::string& name);

// Of the host; false when there is none.
bool isBridge(const std::string& name);
bool exists(const std::string& name);

}  // namespace dfw::cni
