#include "sockets.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>

namespace pollux {
namespace {

constexpr int kKeepIdleSeconds = 30;
constexpr int kKeepIntervalSeconds = 5;
constexpr int kKeepProbes = 4;

void set(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof(value)); }

/// A classic BPF program for the group of sockets that share an address: always the one at `index`.
int always_choose(int fd, uint32_t index) {
  sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, index}};
  const sock_fprog program{1, code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0 ? 0 : -errno;
}

/// How many sockets listen on this address already: each gets a place in the group in order of arrival.
uint32_t listeners_on(uint16_t port, bool is_v6) {
  FILE* table = fopen(is_v6 ? "/proc/net/tcp6" : "/proc/net/tcp", "re");
  if (table == nullptr) return 0;
  char line[512];
  uint32_t count = 0;
  while (fgets(line, sizeof(line), table) != nullptr) {
    char local[64];
    unsigned state = 0;
    if (sscanf(line, " %*d: %63s %*s %x", local, &state) != 2 || state != TCP_LISTEN) continue;
    const std::string address(local);
    const auto colon = address.find(':');
    if (colon != std::string::npos && std::stoul(address.substr(colon + 1), nullptr, 16) == port) ++count;
  }
  fclose(table);
  return count;
}

int bind_and_listen(int fd, const addrinfo& address, uint16_t port, int backlog) {
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  if (bind(fd, address.ai_addr, address.ai_addrlen) != 0) return -errno;
  const uint32_t before = listeners_on(port, address.ai_family == AF_INET6);
  if (listen(fd, backlog) != 0) return -errno;
  return port == 0 ? 0 : always_choose(fd, before);
}

}  // namespace

int take_socket(int fd) {
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (own < 0) return -errno;
  const int flags = fcntl(own, F_GETFL);
  if (flags < 0 || fcntl(own, F_SETFL, flags & ~O_NONBLOCK) != 0) {
    const int error = -errno;
    close(own);
    return error;
  }
  set(own, IPPROTO_TCP, TCP_NODELAY, 1);
  set(own, SOL_SOCKET, SO_KEEPALIVE, 1);
  set(own, IPPROTO_TCP, TCP_KEEPIDLE, kKeepIdleSeconds);
  set(own, IPPROTO_TCP, TCP_KEEPINTVL, kKeepIntervalSeconds);
  set(own, IPPROTO_TCP, TCP_KEEPCNT, kKeepProbes);
  return own;
}

int listen_newest(const char* host, uint16_t port, int backlog) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) return -EINVAL;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int result = fd < 0 ? -errno : bind_and_listen(fd, *found, port, backlog);
  freeaddrinfo(found);
  if (result < 0 && fd >= 0) close(fd);
  return result < 0 ? result : fd;
}

int port_of(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return -errno;
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

int make_eventfd() {
  const int fd = eventfd(0, EFD_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int signal_eventfd(int fd) {
  const uint64_t one = 1;
  return write(fd, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
}

int shutdown_socket(int fd) { return shutdown(fd, SHUT_RDWR) == 0 ? 0 : -errno; }

int close_descriptor(int fd) { return close(fd) == 0 ? 0 : -errno; }

}  // namespace pollux
