#pragma once
// Addresses that come and go on interfaces of this host. All functions return -errno on failure. An address
// is a text of numbers, IPv4 or IPv6.
#include <cstddef>
#include <cstdint>
#include <vector>

namespace pollux {

struct InterfaceState {
  int index;
  uint32_t flags;
  /// ARPHRD_...
  int hardware;
  uint8_t mac[6];
};

/// How an interface is now.
int interface_state(const char* name, InterfaceState& state);

/// Where an address is on this host.
struct AddressPlace {
  int index;
  int prefix_length;
  /// who has put it there: IFA_PROTO, 0 if nobody has said
  int origin;
};

/// All places of an address on this host, whatever its interface.
int find_address(const char* address, std::vector<AddressPlace>& places);

/// Sets an address, or its lifetime again. The kernel takes it away by itself when that has passed.
int set_address(const char* address, const AddressPlace& place, uint32_t lifetime_seconds);

int remove_address(const char* address, const AddressPlace& place);

/// Ends all TCP connections of a local address: the other ends are told so (RST). Listeners at exactly this
/// address, whoever's, are ended before: a client that comes again at once must not be let in.
int reset_connections(const char* address);

/// A socket that sends frames from an interface. For an IPv4 address it also hears who else claims it.
int open_frame_socket(int index, const char* address);

int send_frame(int fd, int index, const uint8_t* frame, size_t byte_length);

/// The next frame that was heard; -EAGAIN if there is none.
int receive_frame(int fd, uint8_t* frame, size_t byte_length);

}  // namespace pollux
