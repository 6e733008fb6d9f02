#include "addresses.hpp"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pollux {
namespace {

/// Since Linux 5.18; older headers do not name it.
constexpr uint16_t kAddressOrigin = 11;
constexpr size_t kAnswerBytes = 64 * 1024;
constexpr uint32_t kSequence = 1;
/// While addresses of the host change all the time.
constexpr int kAttempts = 20;
/// The sender's address in an ARP frame, and its length.
constexpr uint32_t kArpSender = sizeof(ethhdr) + 14;

/// An address in numbers, of either family.
struct Numbers {
  uint8_t family = AF_UNSPEC;
  uint8_t bytes[16] = {};

  explicit Numbers(const char* text) {
    if (inet_pton(AF_INET, text, bytes) == 1) family = AF_INET;
    else if (inet_pton(AF_INET6, text, bytes) == 1) family = AF_INET6;
  }
  bool is_good() const { return family != AF_UNSPEC; }
  size_t length() const { return family == AF_INET ? 4 : 16; }
  bool is(const void* other) const { return std::memcmp(bytes, other, length()) == 0; }
};

/// A descriptor that is closed at the end of its block.
struct Socket {
  const int fd;
  explicit Socket(int made) : fd(made < 0 ? -errno : made) {}
  ~Socket() {
    if (fd >= 0) close(fd);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
};

int netlink(int protocol) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol); }

/// One message for the kernel: a fixed part, and attributes behind it.
struct Request {
  alignas(NLMSG_ALIGNTO) uint8_t bytes[256] = {};

  Request(uint16_t type, uint16_t flags, size_t fixed) {
    header()->nlmsg_type = type;
    header()->nlmsg_flags = NLM_F_REQUEST | flags;
    header()->nlmsg_seq = kSequence;
    header()->nlmsg_len = NLMSG_LENGTH(fixed);
  }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes); }
  template <typename T>
  T* fixed() {
    return static_cast<T*>(NLMSG_DATA(header()));
  }
  void add(uint16_t type, const void* data, size_t length) {
    auto* attribute = reinterpret_cast<rtattr*>(bytes + NLMSG_ALIGN(header()->nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(length);
    std::memcpy(RTA_DATA(attribute), data, length);
    header()->nlmsg_len = NLMSG_ALIGN(header()->nlmsg_len) + RTA_LENGTH(length);
  }
  int send_to(int fd) {
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    const auto* address = reinterpret_cast<const sockaddr*>(&kernel);
    return sendto(fd, bytes, header()->nlmsg_len, 0, address, sizeof(kernel)) < 0 ? -errno : 0;
  }
};

/// What the last message of an answer in parts says: a failure half way is told only there.
int end_of_parts(const nlmsghdr* message) {
  if (message->nlmsg_len < NLMSG_LENGTH(sizeof(int))) return 0;
  int result = 0;
  std::memcpy(&result, NLMSG_DATA(message), sizeof(result));
  return result < 0 ? result : 0;
}

/// Gives each message of an answer to `take`, until the last one. Returns what the kernel says in the end;
/// -EINTR if things have changed meanwhile, so that some may be missing.
template <typename Take>
int read_answer(int fd, Take take) {
  std::vector<uint8_t> buffer(kAnswerBytes);
  bool is_whole = true;
  for (;;) {
    const ssize_t count = recv(fd, buffer.data(), buffer.size(), MSG_TRUNC);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    if (static_cast<size_t>(count) > buffer.size()) return -EMSGSIZE;
    auto left = static_cast<unsigned>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_seq != kSequence) continue;
      if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) is_whole = false;
      if (message->nlmsg_type == NLMSG_DONE) {
        const int result = end_of_parts(message);
        return result < 0 || is_whole ? result : -EINTR;
      }
      if (message->nlmsg_type == NLMSG_ERROR) {
        if (message->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) return -EPROTO;
        return static_cast<nlmsgerr*>(NLMSG_DATA(message))->error;
      }
      take(message);
    }
  }
}

template <typename Take>
int exchange(int fd, Request& request, Take take) {
  if (fd < 0) return fd;
  const int sent = request.send_to(fd);
  return sent < 0 ? sent : read_answer(fd, take);
}

int exchange(int fd, Request& request) {
  return exchange(fd, request, [](const nlmsghdr*) {});
}

/// An address that a message tells of, if it is the one that is looked for.
void add_place(const nlmsghdr* message, const Numbers& wanted, std::vector<AddressPlace>& places) {
  if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH(sizeof(ifaddrmsg))) return;
  const auto* about = static_cast<const ifaddrmsg*>(NLMSG_DATA(message));
  if (about->ifa_family != wanted.family) return;
  AddressPlace place{static_cast<int>(about->ifa_index), about->ifa_prefixlen, 0};
  const void* address = nullptr;
  const void* local = nullptr;
  auto left = static_cast<unsigned>(message->nlmsg_len - NLMSG_LENGTH(sizeof(ifaddrmsg)));
  for (const rtattr* next = IFA_RTA(about); RTA_OK(next, left); next = RTA_NEXT(next, left)) {
    const size_t length = RTA_PAYLOAD(next);
    if (next->rta_type == IFA_ADDRESS && length >= wanted.length()) address = RTA_DATA(next);
    if (next->rta_type == IFA_LOCAL && length >= wanted.length()) local = RTA_DATA(next);
    if (next->rta_type == kAddressOrigin && length >= 1)
      place.origin = *static_cast<const uint8_t*>(RTA_DATA(next));
  }
  // they differ on a wire with two ends, where the first one is that of the other end
  const void* ours = local != nullptr ? local : address;
  if (ours != nullptr && wanted.is(ours)) places.push_back(place);
}

Request about_address(uint16_t type, uint16_t flags, const Numbers& address, const AddressPlace& place) {
  Request request(type, NLM_F_ACK | flags, sizeof(ifaddrmsg));
  auto* about = request.fixed<ifaddrmsg>();
  about->ifa_family = address.family;
  about->ifa_prefixlen = static_cast<uint8_t>(place.prefix_length);
  about->ifa_index = static_cast<uint32_t>(place.index);
  request.add(IFA_LOCAL, address.bytes, address.length());
  request.add(IFA_ADDRESS, address.bytes, address.length());
  return request;
}

/// A TCP socket as the kernel tells of it.
struct Known {
  uint8_t family;
  inet_diag_sockid id;
};

/// An IPv4 address as sockets of IPv6 have it.
Numbers as_mapped(const Numbers& address) {
  Numbers mapped("::ffff:0.0.0.0");
  std::memcpy(mapped.bytes + 12, address.bytes, 4);
  return mapped;
}

/// The TCP sockets of a local address that are in some states.
int sockets_of(int fd, const Numbers& address, uint32_t states, std::vector<Known>& found) {
  Request request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(inet_diag_req_v2));
  auto* wanted = request.fixed<inet_diag_req_v2>();
  wanted->sdiag_family = address.family;
  wanted->sdiag_protocol = IPPROTO_TCP;
  wanted->idiag_states = states;
  return exchange(fd, request, [&](const nlmsghdr* message) {
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg))) return;
    const auto* socket = static_cast<const inet_diag_msg*>(NLMSG_DATA(message));
    if (socket->idiag_family != address.family || !address.is(socket->id.idiag_src)) return;
    found.push_back({address.family, socket->id});
  });
}

/// As if whoever has these sockets had reset them. One that is gone by itself meanwhile is no failure.
int end_sockets(int fd, const Numbers& address, uint32_t states) {
  std::vector<Known> found;
  int result = sockets_of(fd, address, states, found);
  if (result >= 0 && address.family == AF_INET) {
    // whoever comes in over IPv4 to a listener of both; a kernel without IPv6 has none of those
    result = sockets_of(fd, as_mapped(address), states, found);
    if (result == -ENOENT) result = 0;
  }
  for (size_t at = 0; at < found.size() && result >= 0; ++at) {
    Request request(SOCK_DESTROY, NLM_F_ACK, sizeof(inet_diag_req_v2));
    auto* doomed = request.fixed<inet_diag_req_v2>();
    doomed->sdiag_family = found[at].family;
    doomed->sdiag_protocol = IPPROTO_TCP;
    doomed->idiag_states = ~0U;
    doomed->id = found[at].id;
    result = exchange(fd, request);
    if (result == -ENOENT) result = 0;
  }
  return result;
}

/// Lets ARP frames through whose sender claims an address, and nothing else.
int hear_claims(int fd, const Numbers& address) {
  uint32_t claimed = 0;
  std::memcpy(&claimed, address.bytes, sizeof(claimed));
  sock_filter code[] = {
      {BPF_LD | BPF_H | BPF_ABS, 0, 0, offsetof(ethhdr, h_proto)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, ETH_P_ARP},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, kArpSender},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, ntohl(claimed)},
      {BPF_RET | BPF_K, 0, 0, 0xffff},
      {BPF_RET | BPF_K, 0, 0, 0},
  };
  const sock_fprog program{6, code};
  return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0 ? 0 : -errno;
}

}  // namespace

int interface_state(const char* name, InterfaceState& state) {
  const Socket any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (any.fd < 0) return any.fd;
  ifreq request{};
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  if (ioctl(any.fd, SIOCGIFINDEX, &request) != 0) return -errno;
  state.index = request.ifr_ifindex;
  if (ioctl(any.fd, SIOCGIFFLAGS, &request) != 0) return -errno;
  state.flags = static_cast<uint16_t>(request.ifr_flags);
  if (ioctl(any.fd, SIOCGIFHWADDR, &request) != 0) return -errno;
  state.hardware = request.ifr_hwaddr.sa_family;
  std::memcpy(state.mac, request.ifr_hwaddr.sa_data, sizeof(state.mac));
  return 0;
}

int find_address(const char* text, std::vector<AddressPlace>& places) {
  const Numbers address(text);
  if (!address.is_good()) return -EINVAL;
  const Socket route(netlink(NETLINK_ROUTE));
  Request request(RTM_GETADDR, NLM_F_DUMP, sizeof(ifaddrmsg));
  request.fixed<ifaddrmsg>()->ifa_family = address.family;
  const auto take = [&](const nlmsghdr* message) { add_place(message, address, places); };
  int result = -EINTR;
  for (int attempt = 0; attempt < kAttempts && result == -EINTR; ++attempt) {
    places.clear();
    result = exchange(route.fd, request, take);
  }
  return result;
}

int set_address(const char* text, const AddressPlace& place, uint32_t lifetime_seconds) {
  const Numbers address(text);
  if (!address.is_good()) return -EINVAL;
  const Socket route(netlink(NETLINK_ROUTE));
  Request request = about_address(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address, place);
  // whether somebody else has it is not waited for: who may have it is decided already
  request.fixed<ifaddrmsg>()->ifa_flags = address.family == AF_INET6 ? IFA_F_NODAD : 0;
  const ifa_cacheinfo lifetime{lifetime_seconds, lifetime_seconds, 0, 0};
  request.add(IFA_CACHEINFO, &lifetime, sizeof(lifetime));
  const auto origin = static_cast<uint8_t>(place.origin);
  request.add(kAddressOrigin, &origin, sizeof(origin));
  return exchange(route.fd, request);
}

int remove_address(const char* text, const AddressPlace& place) {
  const Numbers address(text);
  if (!address.is_good()) return -EINVAL;
  const Socket route(netlink(NETLINK_ROUTE));
  Request request = about_address(RTM_DELADDR, 0, address, place);
  return exchange(route.fd, request);
}

int reset_connections(const char* text) {
  const Numbers address(text);
  if (!address.is_good()) return -EINVAL;
  const Socket diagnosis(netlink(NETLINK_SOCK_DIAG));
  const int result = end_sockets(diagnosis.fd, address, 1U << TCP_LISTEN);
  if (result < 0) return result;
  // those that wait for late packets, or for nothing, are no connections
  const uint32_t others = (1U << TCP_LISTEN) | (1U << TCP_TIME_WAIT) | (1U << TCP_CLOSE);
  return end_sockets(diagnosis.fd, address, ~others);
}

int open_frame_socket(int index, const char* text) {
  const Numbers address(text);
  if (!address.is_good()) return -EINVAL;
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  sockaddr_ll place{};
  place.sll_family = AF_PACKET;
  place.sll_ifindex = index;
  // with no protocol it hears nothing
  place.sll_protocol = address.family == AF_INET ? htons(ETH_P_ARP) : 0;
  int result = address.family == AF_INET ? hear_claims(fd, address) : 0;
  if (result == 0 && bind(fd, reinterpret_cast<const sockaddr*>(&place), sizeof(place)) != 0) result = -errno;
  if (result < 0) close(fd);
  return result < 0 ? result : fd;
}

int send_frame(int fd, int index, const uint8_t* frame, size_t byte_length) {
  sockaddr_ll place{};
  place.sll_family = AF_PACKET;
  place.sll_ifindex = index;
  const auto* to = reinterpret_cast<const sockaddr*>(&place);
  return sendto(fd, frame, byte_length, MSG_DONTWAIT, to, sizeof(place)) < 0 ? -errno : 0;
}

int receive_frame(int fd, uint8_t* frame, size_t byte_length) {
  const ssize_t count = recv(fd, frame, byte_length, MSG_DONTWAIT);
  return count < 0 ? -errno : static_cast<int>(count);
}

}  // namespace pollux
