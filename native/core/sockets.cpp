#include "sockets.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

namespace pollux {
namespace {

constexpr int kKeepIdleSeconds = 30;
constexpr int kKeepIntervalSeconds = 5;
constexpr int kKeepProbes = 4;
/// Above the descriptors of all clients that a node may have, as configurations go.
constexpr int kListenersFrom = 1 << 14;

void set(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof(value)); }

/// A classic BPF program for the group of sockets that share an address: always the one at `index`.
int always_choose(int fd, uint32_t index) {
  sock_filter code[] = {{BPF_RET | BPF_K, 0, 0, index}};
  const sock_fprog program{1, code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0 ? 0 : -errno;
}

/// An address as /proc/net/tcp and tcp6 write it: the words in the order of this machine, then the port.
std::string text_in_proc(const sockaddr* address) {
  const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
  uint32_t words[4] = {v4->sin_addr.s_addr, 0, 0, 0};
  const bool is_v6 = address->sa_family == AF_INET6;
  if (is_v6) std::memcpy(words, &v6->sin6_addr, sizeof(words));
  std::string text;
  char piece[16];
  for (int i = 0; i < (is_v6 ? 4 : 1); ++i) {
    snprintf(piece, sizeof(piece), "%08X", words[i]);
    text += piece;
  }
  snprintf(piece, sizeof(piece), ":%04X", ntohs(is_v6 ? v6->sin6_port : v4->sin_port));
  return text + piece;
}

/// How many sockets listen on exactly this address already: they have the first places in its group.
uint32_t listeners_on(const sockaddr* address) {
  FILE* table = fopen(address->sa_family == AF_INET6 ? "/proc/net/tcp6" : "/proc/net/tcp", "re");
  if (table == nullptr) return 0;
  const std::string wanted = text_in_proc(address);
  char line[512];
  uint32_t count = 0;
  while (fgets(line, sizeof(line), table) != nullptr) {
    char local[64];
    unsigned state = 0;
    if (sscanf(line, " %*d: %63s %*s %x", local, &state) != 2) continue;
    if (state == TCP_LISTEN && wanted == local) ++count;
  }
  fclose(table);
  return count;
}

/// An address in numbers and a port, as the kernel takes them.
struct Endpoint {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* address() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

bool endpoint_of(const char* host, uint16_t port, Endpoint& endpoint) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) return false;
  std::memcpy(&endpoint.storage, found->ai_addr, found->ai_addrlen);
  endpoint.length = found->ai_addrlen;
  freeaddrinfo(found);
  return true;
}

int bind_and_listen(int fd, const Endpoint& endpoint, int backlog, bool may_be_absent) {
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
  // a host may be set to the opposite; of no meaning, and refused, for other families
  set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (may_be_absent) {
    set(fd, IPPROTO_IP, IP_FREEBIND, 1);
    set(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
  }
  if (bind(fd, endpoint.address(), endpoint.length) != 0) return -errno;
  return listen(fd, backlog) == 0 ? 0 : -errno;
}

/// Moves a descriptor up, if there may be so many. The kernel closes those of a dead process from the highest
/// down: a client that sees its connection end and comes again at once must not meet a listener that is still
/// waiting to be closed.
int moved_up(int fd) {
  const int up = fcntl(fd, F_DUPFD_CLOEXEC, kListenersFrom);
  if (up < 0) return fd;
  close(fd);
  return up;
}

/// A new listener of the group at this address, in which the kernel then chooses the one at `index`.
int listen_in_group(const Endpoint& endpoint, uint16_t port, uint32_t index, int backlog,
                    bool may_be_absent) {
  const int fd = socket(endpoint.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int result = bind_and_listen(fd, endpoint, backlog, may_be_absent);
  if (result == 0 && port != 0) result = always_choose(fd, index);
  if (result < 0) close(fd);
  return result < 0 ? result : moved_up(fd);
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

int socket_pair(int ends[2]) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno;
}

int listen_newest(const char* host, uint16_t port, int backlog, bool may_be_absent) {
  Endpoint endpoint;
  if (!endpoint_of(host, port, endpoint)) return -EINVAL;
  return listen_in_group(endpoint, port, listeners_on(endpoint.address()), backlog, may_be_absent);
}

int listen_behind(const char* host, uint16_t port, int backlog) {
  Endpoint endpoint;
  const std::string mapped = std::string("::ffff:") + host;
  if (!endpoint_of(mapped.c_str(), port, endpoint)) return -EAFNOSUPPORT;
  return listen_in_group(endpoint, port, 0, backlog, false);
}

int count_listeners(const char* host, uint16_t port) {
  Endpoint endpoint;
  if (!endpoint_of(host, port, endpoint)) return -EINVAL;
  return static_cast<int>(listeners_on(endpoint.address()));
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

int reset_socket(int fd) {
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  return connect(fd, &none, sizeof(none)) == 0 ? 0 : -errno;
}

int close_descriptor(int fd) { return close(fd) == 0 ? 0 : -errno; }

int open_netlink(int protocol, int receive_timeout_ms) {
  const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) return -errno;
  const timeval timeout{receive_timeout_ms / 1000, receive_timeout_ms % 1000 * 1000};
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return fd;
  }
  const int error = -errno;
  close(fd);
  return error;
}

int join_netlink_group(int fd, uint32_t group) {
  return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0 ? 0 : -errno;
}

int is_hung_up(int fd) {
  pollfd one{fd, POLLRDHUP, 0};
  if (poll(&one, 1, 0) < 0) return -errno;
  return (one.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0 ? 1 : 0;
}

int has_peer_ended(int fd) {
  tcp_info info{};
  socklen_t length = sizeof(info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0) {
    switch (info.tcpi_state) {
      case TCP_CLOSE:
      case TCP_CLOSE_WAIT:
      case TCP_CLOSING:
      case TCP_LAST_ACK:
      case TCP_TIME_WAIT:
        return 1;
      default:
        return 0;
    }
  }
  int unread = 0;
  if (ioctl(fd, SIOCOUTQ, &unread) != 0) return -errno;
  return unread == 0 ? 1 : 0;
}

int send_timeout_ms(int fd) {
  timeval timeout{};
  socklen_t length = sizeof(timeout);
  if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, &length) != 0) return -errno;
  return static_cast<int>(timeout.tv_sec * 1000 + timeout.tv_usec / 1000);
}

int limit_unanswered(int fd, int timeout_ms) {
  return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms)) == 0 ? 0 : -errno;
}

}  // namespace pollux
