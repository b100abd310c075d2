#include "agent_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>

#include "error.h"

namespace dfw::cni {
namespace {

constexpr uint32_t kAnswerLimit = 1 << 20;
constexpr int kAgainMs = 20;

struct Connection {
  int fd = -1;
  ~Connection() {
    if (fd >= 0) close(fd);
  }
};

int millisecondsUntil(Clock::time_point when) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(when - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 1 << 30));
}

[[noreturn]] void away(const std::string& path, const std::string& why) { throw Error(Code::agentAway, "the agent does not answer on " + path, why); }

void waitFor(const Connection& connection, short events, Clock::time_point deadline, const std::string& path) {
  pollfd entry{connection.fd, events, 0};
  for (;;) {
    const int ready = poll(&entry, 1, millisecondsUntil(deadline));
    if (ready > 0) return;
    if (ready == 0) away(path, "it took too long");
    if (errno != EINTR) away(path, systemText(errno));
  }
}

void connectTo(Connection* connection, const std::string& path, Clock::time_point deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw Error(Code::badConfiguration, "socket: the path is too long");
  memcpy(address.sun_path, path.c_str(), path.size());
  for (;;) {
    connection->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->fd < 0) throw Error(Code::io, "no socket: " + systemText(errno));
    if (connect(connection->fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return;
    // EAGAIN: its queue is full. Everything else that an agent which is just being started gives, too.
    const int error = errno;
    close(connection->fd);
    connection->fd = -1;
    if (millisecondsUntil(deadline) == 0) away(path, systemText(error));
    poll(nullptr, 0, std::min(kAgainMs, millisecondsUntil(deadline)));
  }
}

void readAll(const Connection& connection, void* bytes, size_t size, Clock::time_point deadline, const std::string& path) {
  for (size_t done = 0; done < size;) {
    const ssize_t length = recv(connection.fd, static_cast<char*>(bytes) + done, size - done, 0);
    if (length > 0) done += static_cast<size_t>(length);
    else if (length == 0) away(path, "it closed the connection");
    else if (errno == EAGAIN) waitFor(connection, POLLIN, deadline, path);
    else if (errno != EINTR) away(path, systemText(errno));
  }
}

}  // namespace

std::string askAgent(const std::string& socketPath, const std::string& question, Clock::time_point connectBy, Clock::time_point answerBy) {
  Connection connection;
  connectTo(&connection, socketPath, connectBy);
  std::string frame(4, '\0');
  const uint32_t length = htonl(static_cast<uint32_t>(question.size()));
  memcpy(frame.data(), &length, sizeof length);
  frame += question;
  for (size_t done = 0; done < frame.size();) {
    const ssize_t sent = send(connection.fd, frame.data() + done, frame.size() - done, MSG_NOSIGNAL);
    if (sent >= 0) done += static_cast<size_t>(sent);
    else if (errno == EAGAIN) waitFor(connection, POLLOUT, answerBy, socketPath);
    else if (errno != EINTR) away(socketPath, systemText(errno));
  }
  uint32_t size = 0;
  readAll(connection, &size, sizeof size, answerBy, socketPath);
  size = ntohl(size);
  if (size > kAnswerLimit) throw Error(Code::io, "the agent's answer is too long");
  std::string answer(size, '\0');
  readAll(connection, answer.data(), answer.size(), answerBy, socketPath);
  return answer;
}

}  // namespace dfw::cni
