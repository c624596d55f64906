#include "client/tracer/loaded_files.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace perfvec::tracer {
namespace {

// Several names often stand for one function; lower is better.
std::pair<size_t, size_t> NameRank(absl::string_view name) {
  size_t underscores = 0;
  while (underscores < name.size() && name[underscores] == '_') ++underscores;
  // A C++ name begins so; it says more than a C alias.
  if (absl::StartsWith(name, "_Z")) underscores = 0;
  return {underscores, name.size()};
}

}  // namespace

void LoadedFiles::AddAtStart(pid_t pid, const std::vector<std::string>& paths) {
  std::ifstream maps(absl::StrCat("/proc/", pid, "/maps"));
  std::string line;
  while (std::getline(maps, line)) {
    unsigned long begin, end, offset;
    int name = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %lx %*s %*s %n", &begin, &end,
                    &offset, &name) < 3 ||
        name == 0 || line.c_str()[name] != '/') {
      continue;
    }
    const std::string path = line.substr(name);
    for (const std::string& wanted : paths) {
      std::error_code error;
      if (std::filesystem::equivalent(path, wanted, error)) {
        AddMapped({begin, end - begin, offset, path});
      }
    }
  }
}

void LoadedFiles::AddMapped(const MappedFile& mapped) {
  for (const File& file : files_) {
    if (mapped.address < file.place.end &&
        file.place.begin < mapped.address + mapped.bytes) {
      return;  // another part of a file that is known
    }
  }
  auto elf = ElfFile::Read(mapped.path);
  if (!elf.ok()) return;
  const auto address = elf->AddressOfOffset(mapped.offset);
  if (!address.has_value()) return;
  File file{*std::move(elf), {}};
  file.place.path = mapped.path.substr(0, trace::kMaxNameBytes);
  file.place.bias = mapped.address - *address;
  file.elf.Extent(&file.place.begin, &file.place.end);
  file.place.begin += file.place.bias;
  file.place.end += file.place.bias;
  if (file.place.begin < file.place.end) files_.push_back(std::move(file));
}

absl::StatusOr<uint64_t> LoadedFiles::Symbol(const std::string& name) const {
  for (const File& file : files_) {
    const auto address = file.elf.Symbol(name);
    if (address.ok()) return *address + file.place.bias;
  }
  return absl::NotFoundError(absl::StrCat(
      name, ": neither the program nor what it loaded has this symbol"));
}

void LoadedFiles::Describe(const std::vector<uint64_t>& code,
                           trace::TraceExtras* extras) const {
  std::map<uint64_t, trace::FunctionSymbol> functions;
  for (const File& file : files_) {
    const trace::LoadedFile& place = file.place;
    extras->files.push_back(place);
    for (trace::FunctionSymbol& function : file.elf.Functions()) {
      function.address += place.bias;
      if (function.address < place.begin || function.address >= place.end) {
        continue;
      }
      function.bytes = std::min(function.bytes, place.end - function.address);
      trace::FunctionSymbol& known = functions[function.address];
      const uint64_t bytes = std::max(known.bytes, function.bytes);
      if (known.name.empty() ||
          NameRank(function.name) < NameRank(known.name)) {
        known = std::move(function);
      }
      known.bytes = bytes;
    }
  }
  std::sort(extras->files.begin(), extras->files.end(),
            [](const auto& a, const auto& b) { return a.begin < b.begin; });
  for (auto f = functions.begin(); f != functions.end(); ++f) {
    trace::FunctionSymbol& function = f->second;
    const auto next = std::next(f);
    if (function.bytes == 0) {  // written in assembly, without a size
      const trace::LoadedFile* file = extras->FileAt(function.address);
      uint64_t end = file != nullptr ? file->end : function.address + 4;
      if (next != functions.end()) end = std::min(end, next->first);
      function.bytes = end - function.address;
    }
    const auto at =
        std::lower_bound(code.begin(), code.end(), function.address);
    if (at != code.end() && *at - function.address < function.bytes) {
      extras->functions.push_back(std::move(function));
    }
  }
}

}  // namespace perfvec::tracer
