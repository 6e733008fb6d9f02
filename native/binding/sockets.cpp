#include "../core/sockets.hpp"

#include "binding.hpp"

namespace pollux::binding {
namespace {

int descriptor(const Napi::CallbackInfo& info) { return static_cast<int>(number_of(info, 0)); }

Napi::Value take(const Napi::CallbackInfo& info) { return errno_or(info, take_socket(descriptor(info))); }

/// Both descriptors in an array, or an errno.
Napi::Value pair(const Napi::CallbackInfo& info) {
  int ends[2];
  const int result = socket_pair(ends);
  if (result < 0) return errno_or(info, result);
  Napi::Array both = Napi::Array::New(info.Env(), 2);
  both[0u] = ends[0];
  both[1u] = ends[1];
  return both;
}

std::string host(const Napi::CallbackInfo& info) { return info[0].As<Napi::String>(); }
uint16_t port_in(const Napi::CallbackInfo& info) { return static_cast<uint16_t>(number_of(info, 1)); }
int backlog(const Napi::CallbackInfo& info) { return static_cast<int>(number_of(info, 2)); }

Napi::Value listen(const Napi::CallbackInfo& info) {
  const bool may_be_absent = info[3].ToBoolean();
  return errno_or(info, listen_newest(host(info).c_str(), port_in(info), backlog(info), may_be_absent));
}

Napi::Value listen_last(const Napi::CallbackInfo& info) {
  return errno_or(info, listen_behind(host(info).c_str(), port_in(info), backlog(info)));
}

Napi::Value count(const Napi::CallbackInfo& info) {
  return errno_or(info, count_listeners(host(info).c_str(), port_in(info)));
}

Napi::Value port(const Napi::CallbackInfo& info) { return errno_or(info, port_of(descriptor(info))); }
Napi::Value event(const Napi::CallbackInfo& info) { return errno_or(info, make_eventfd()); }
Napi::Value signal(const Napi::CallbackInfo& info) {
  return errno_or(info, signal_eventfd(descriptor(info)));
}
Napi::Value shut(const Napi::CallbackInfo& info) { return errno_or(info, shutdown_socket(descriptor(info))); }
Napi::Value reset(const Napi::CallbackInfo& info) { return errno_or(info, reset_socket(descriptor(info))); }
Napi::Value close(const Napi::CallbackInfo& info) {
  return errno_or(info, close_descriptor(descriptor(info)));
}

int second(const Napi::CallbackInfo& info) { return static_cast<int>(number_of(info, 1)); }

Napi::Value netlink_socket(const Napi::CallbackInfo& info) {
  return errno_or(info, open_netlink(descriptor(info), second(info)));
}
Napi::Value join(const Napi::CallbackInfo& info) {
  return errno_or(info, join_netlink_group(descriptor(info), static_cast<uint32_t>(second(info))));
}
Napi::Value hung_up(const Napi::CallbackInfo& info) { return errno_or(info, is_hung_up(descriptor(info))); }
Napi::Value peer_ended(const Napi::CallbackInfo& info) {
  return errno_or(info, has_peer_ended(descriptor(info)));
}
Napi::Value send_timeout(const Napi::CallbackInfo& info) {
  return errno_or(info, send_timeout_ms(descriptor(info)));
}
Napi::Value limit(const Napi::CallbackInfo& info) {
  return errno_or(info, limit_unanswered(descriptor(info), second(info)));
}

}  // namespace

void export_sockets(Napi::Env env, Napi::Object exports) {
  exports["takeSocket"] = Napi::Function::New<take>(env);
  exports["socketPair"] = Napi::Function::New<pair>(env);
  exports["listenNewest"] = Napi::Function::New<listen>(env);
  exports["listenBehind"] = Napi::Function::New<listen_last>(env);
  exports["countListeners"] = Napi::Function::New<count>(env);
  exports["portOf"] = Napi::Function::New<port>(env);
  exports["makeEventfd"] = Napi::Function::New<event>(env);
  exports["signalEventfd"] = Napi::Function::New<signal>(env);
  exports["shutdownSocket"] = Napi::Function::New<shut>(env);
  exports["resetSocket"] = Napi::Function::New<reset>(env);
  exports["closeDescriptor"] = Napi::Function::New<close>(env);
  exports["openNetlink"] = Napi::Function::New<netlink_socket>(env);
  exports["joinNetlinkGroup"] = Napi::Function::New<join>(env);
  exports["isHungUp"] = Napi::Function::New<hung_up>(env);
  exports["hasPeerEnded"] = Napi::Function::New<peer_ended>(env);
  exports["sendTimeoutMs"] = Napi::Function::New<send_timeout>(env);
  exports["limitUnanswered"] = Napi::Function::New<limit>(env);
}

}  // namespace pollux::binding
