#pragma once
// What Node's own sockets cannot do. All functions return -errno on failure.
#include <cstdint>

namespace pollux {

/// A descriptor of our own for a connected socket: blocking (io_uring waits by itself), without Nagle's
/// delay, with keep-alive. The caller's descriptor may be closed afterwards.
int take_socket(int fd);

/// Listens on a numeric address. Several processes of one user may listen on the same address; all new
/// connections go to the newest listener, since an older one may belong to a process that is stopped.
int listen_newest(const char* host, uint16_t port, int backlog);

/// The port that a listening socket got.
int port_of(int fd);

int make_eventfd();
int signal_eventfd(int fd);
int shutdown_socket(int fd);
int close_descriptor(int fd);

}  // namespace pollux
