#pragma once
// Node-API on one side, core/ on the other, no logic between. Arguments were checked in
// ts/adapters/native.ts.
#include <napi.h>

namespace pollux::binding {

void export_memory(Napi::Env env, Napi::Object exports);
void export_uring(Napi::Env env, Napi::Object exports);
void export_files(Napi::Env env, Napi::Object exports);
void export_sockets(Napi::Env env, Napi::Object exports);
void export_addresses(Napi::Env env, Napi::Object exports);
void export_threads(Napi::Env env, Napi::Object exports);

/// An ArrayBuffer over memory that stays mapped until the process ends.
inline Napi::ArrayBuffer view_of(Napi::Env env, void* address, size_t byte_length) {
  return Napi::ArrayBuffer::New(env, address, byte_length, [](Napi::Env, void*) {});
}

inline double number_of(const Napi::CallbackInfo& info, size_t index) {
  return info[index].As<Napi::Number>().DoubleValue();
}

inline Napi::Number errno_or(const Napi::CallbackInfo& info, int result) {
  return Napi::Number::New(info.Env(), result);
}

}  // namespace pollux::binding
