// Zip archives and pickles for tests, made by hand.
#ifndef PERFVEC_TESTS_WORKER_CHECKPOINT_ZIP_WRITER_H_
#define PERFVEC_TESTS_WORKER_CHECKPOINT_ZIP_WRITER_H_

#include <gtest/gtest.h>
#include <zip.h>

#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace perfvec::checkpoint {

using Members = std::map<std::string, std::string>;

inline std::string Zip(const Members& members, bool deflated = false) {
  zip_error_t error;
  zip_error_init(&error);
  zip_source_t* target = zip_source_buffer_create(nullptr, 0, 0, &error);
  zip_source_keep(target);
  zip_t* archive = zip_open_from_source(target, ZIP_TRUNCATE, &error);
  EXPECT_NE(archive, nullptr) << zip_error_strerror(&error);
  for (const auto& [name, content] : members) {
    const int64_t index = zip_file_add(
        archive, name.c_str(),
        zip_source_buffer(archive, content.data(), content.size(), 0), 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index),
                             deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  }
  EXPECT_EQ(zip_close(archive), 0);
  zip_stat_t stat;
  zip_source_stat(target, &stat);
  std::string bytes(stat.size, '\0');
  zip_source_open(target);
  EXPECT_EQ(zip_source_read(target, bytes.data(), bytes.size()),
            static_cast<zip_int64_t>(bytes.size()));
  zip_source_close(target);
  zip_source_free(target);
  return bytes;
}

inline std::string LittleEndian(uint64_t value, size_t size) {
  return std::string(reinterpret_cast<const char*>(&value), size);
}
inline std::string Text(const std::string& text) {
  return "X" + LittleEndian(text.size(), 4) + text;
}
inline std::string Int(int64_t value) {
  return "J" + LittleEndian(static_cast<uint64_t>(value), 4);
}
inline std::string Ints(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (int64_t value : values) out += Int(value);
  return out + "t";
}
inline std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string TensorPickle(const std::string& key, int64_t elements,
                                int64_t offset,
                                const std::vector<int64_t>& shape,
                                const std::vector<int64_t>& strides,
                                const std::string& type = "FloatStorage") {
  return Global("torch._utils", "_rebuild_tensor_v2") + "((" + Text("storage") +
         Global("torch", type) + Text(key) + Text("cpu") + Int(elements) +
         "tQ" + Int(offset) + Ints(shape) + Ints(strides) + "\x89" +
         Global("collections", "OrderedDict") + ")RtR";
}
// A checkpoint whose state dict has these tensors, by pickled value.
inline std::string StatePickle(const Members& tensors) {
  std::string out = "\x80\x02}(" + Text("epoch") + "K\x05" +
                    Text("model_state_dict") +
                    Global("collections", "OrderedDict") + ")R(";
  for (const auto& [name, value] : tensors) out += Text(name) + value;
  return out + "uu.";
}
inline std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()),
                     4 * values.size());
}

// A .npy of doubles.
inline std::string Npy(const std::vector<double>& values,
                       const std::string& type = "<f8",
                       std::string shape = "") {
  if (shape.empty()) shape = "(" + std::to_string(values.size()) + ",)";
  const std::string header = "{'descr': '" + type +
                             "', 'fortran_order': False, 'shape': " + shape +
                             ", }\n";
  return std::string("\x93NUMPY\x01\x00", 8) + LittleEndian(header.size(), 2) +
         header +
         std::string(reinterpret_cast<const char*>(values.data()),
                     8 * values.size());
}

}  // namespace perfvec::checkpoint

#endif  // PERFVEC_TESTS_WORKER_CHECKPOINT_ZIP_WRITER_H_
