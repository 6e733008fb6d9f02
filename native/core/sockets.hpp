#pragma once
// What Node's own sockets cannot do. All functions return -errno on failure.
#include <cstdint>

namespace pollux {

/// A descriptor of our own for a connected socket: blocking (io_uring waits by itself), without Nagle's
/// delay, with keep-alive. The caller's descriptor may be closed afterwards.
int take_socket(int fd);

/// Two blocking sockets that are connected to each other.
int socket_pair(int ends[2]);

/// Listens on a numeric address. Several processes of one user may listen on the same address; all new
/// connections go to the newest listener, since an older one may belong to a process that is stopped.
/// `may_be_absent`: the address need not be on this host yet.
int listen_newest(const char* host, uint16_t port, int backlog, bool may_be_absent);

/// Listens on an IPv4 address behind all listeners of `listen_newest`: gets connections only while there are
/// none of those. It is an IPv6 socket with the mapped address. Such sockets are a group of their own, which
/// the kernel likes less, whoever came first (its selftests/net/reuseport_dualstack.c holds it to that). Of
/// several, the oldest gets the connections. An IPv6 address has no such second place: EAFNOSUPPORT.
int listen_behind(const char* host, uint16_t port, int backlog);

/// How many sockets of this host listen on exactly this address, those of `listen_behind` not among them.
int count_listeners(const char* host, uint16_t port);

/// The port that a listening socket got.
int port_of(int fd);

int make_eventfd();
int signal_eventfd(int fd);
int shutdown_socket(int fd);
int close_descriptor(int fd);

/// A raw netlink socket. A receive ends after `receive_timeout_ms`, with EAGAIN.
int open_netlink(int protocol, int receive_timeout_ms);
int join_netlink_group(int fd, uint32_t group);

/// 1 if either side has ended the connection, 0 if not. Reads nothing from it.
int is_hung_up(int fd);

/// 1 if the other end has closed or reset a connection that this end has shut down, 0 if not. A Unix socket
/// does not tell: there, 1 if nothing that was sent is left unread.
int has_peer_ended(int fd);

/// Resets a TCP connection now, whoever else has it open: what it has not sent yet is not sent any more.
int reset_socket(int fd);

/// What SO_SNDTIMEO is set to; 0 is for ever.
int send_timeout_ms(int fd);

/// Breaks a TCP connection when data has been unacknowledged for so long.
int limit_unanswered(int fd, int timeout_ms);

}  // namespace pollux
