#include "client/tracer/elf_file.h"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace perfvec::tracer {
namespace {

constexpr size_t kLongestName = 1024;  // of a function; the rest is cut off

const char* MachineName(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_386:
      return "i386";
    case EM_ARM:
      return "32-bit ARM";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "POWER";
    default:
      return "another machine";
  }
}

// Copies the `index`th of a table of T; false if it lies outside the file.
template <typename T>
bool Entry(const std::string& bytes, uint64_t offset, uint64_t index, T* out) {
  if (offset > bytes.size() || index >= (bytes.size() - offset) / sizeof(T)) {
    return false;
  }
  std::memcpy(out, bytes.data() + offset + index * sizeof(T), sizeof(T));
  return true;
}

}  // namespace

absl::StatusOr<ElfFile> ElfFile::Read(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) {
    return absl::NotFoundError(absl::StrCat(path, ": ", std::strerror(errno)));
  }
  ElfFile file;
  file.path_ = path;
  file.bytes_.assign(std::istreambuf_iterator<char>(stream), {});
  Elf64_Ehdr header;
  if (!Entry(file.bytes_, 0, 0, &header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    const bool script = file.bytes_.compare(0, 2, "#!") == 0;
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected an AArch64 program (ELF), found ",
        script ? "a script: trace its interpreter, with the script as argument"
               : "another file"));
  }
  if (header.e_machine != EM_AARCH64 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected a program for AArch64, found one for ",
        header.e_machine == EM_AARCH64 ? "its big-endian or 32-bit form"
                                       : MachineName(header.e_machine)));
  }
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": expected a program, found an object file"));
  }
  file.fixed_address_ = header.e_type == ET_EXEC;
  for (int i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr segment;
    if (!Entry(file.bytes_, header.e_phoff, i, &segment)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": cut short: segment ", i, " is missing"));
    }
    if (segment.p_type == PT_INTERP && segment.p_offset < file.bytes_.size()) {
      file.interpreter_ = file.bytes_.c_str() + segment.p_offset;
    }
    if (segment.p_type == PT_LOAD) {
      file.segments_.push_back({segment.p_vaddr, segment.p_memsz,
                                segment.p_offset, segment.p_filesz});
    }
  }
  return file;
}

void ElfFile::AddMapped(uint64_t bias, FirstTouch* pages) const {
  constexpr uint64_t kMostBytes = uint64_t{1} << 32;
  for (const Segment& segment : segments_) {
    if (segment.memory_bytes > kMostBytes) continue;
    const uint64_t begin = segment.address + bias;
    pages->AddMapped(begin, begin + segment.memory_bytes);
  }
}

template <typename Use>
bool ElfFile::ForEachSymbol(Use use) const {
  Elf64_Ehdr header = {};
  Elf64_Shdr table, strings;
  Entry(bytes_, 0, 0, &header);
  bool any = false;
  for (int i = 0; i < header.e_shnum; ++i) {
    if (!Entry(bytes_, header.e_shoff, i, &table)) break;
    if (table.sh_type != SHT_SYMTAB && table.sh_type != SHT_DYNSYM) continue;
    if (!Entry(bytes_, header.e_shoff, table.sh_link, &strings)) continue;
    any = true;
    for (uint64_t s = 0; s < table.sh_size / sizeof(Elf64_Sym); ++s) {
      Elf64_Sym symbol;
      if (!Entry(bytes_, table.sh_offset, s, &symbol)) break;
      const uint64_t at = strings.sh_offset + symbol.st_name;
      if (symbol.st_value == 0 || symbol.st_shndx == SHN_UNDEF ||
          at >= bytes_.size()) {
        continue;
      }
      if (!use(symbol, bytes_.c_str() + at)) return true;
    }
  }
  return any;
}

absl::StatusOr<uint64_t> ElfFile::Symbol(const std::string& name) const {
  uint64_t address = 0;
  const bool any = ForEachSymbol([&](const Elf64_Sym& symbol, const char* n) {
    if (name == n) address = symbol.st_value;
    return address == 0;
  });
  if (address != 0) return address;
  return absl::NotFoundError(absl::StrCat(
      path_, any ? ": it has no symbol " : ": it is stripped: no ", name));
}

std::vector<trace::FunctionSymbol> ElfFile::Functions() const {
  std::vector<trace::FunctionSymbol> functions;
  ForEachSymbol([&](const Elf64_Sym& symbol, const char* name) {
    const int type = ELF64_ST_TYPE(symbol.st_info);
    if ((type == STT_FUNC || type == STT_GNU_IFUNC) && name[0] != '\0') {
      functions.push_back({symbol.st_value, symbol.st_size,
                           std::string(name, strnlen(name, kLongestName))});
    }
    return true;
  });
  return functions;
}

void ElfFile::Extent(uint64_t* begin, uint64_t* end) const {
  *begin = *end = 0;
  for (const Segment& segment : segments_) {
    const uint64_t segment_end = segment.address + segment.memory_bytes;
    if (segment_end <= segment.address) continue;
    if (*end == 0 || segment.address < *begin) *begin = segment.address;
    *end = std::max(*end, segment_end);
  }
}

std::optional<uint64_t> ElfFile::AddressOfOffset(uint64_t offset) const {
  constexpr uint64_t kPage = 4095;
  for (const Segment& segment : segments_) {
    const uint64_t begin = segment.offset & ~kPage;  // as it is mapped
    if (offset >= begin && offset - begin < segment.file_bytes + kPage) {
      return segment.address - segment.offset + offset;
    }
  }
  return std::nullopt;
}

uint32_t ElfFile::WordAt(uint64_t address) const {
  for (const Segment& segment : segments_) {
    if (address < segment.address) continue;
    const uint64_t into = address - segment.address;
    uint32_t word;
    if (into + 4 > segment.file_bytes) continue;
    if (Entry(bytes_, segment.offset + into, 0, &word)) return word;
  }
  return 0;
}

absl::StatusOr<std::string> FindProgram(const std::string& program) {
  if (program.find('/') != std::string::npos) return program;
  const char* path = std::getenv("PATH");
  for (absl::string_view folder :
       absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    std::string file =
        absl::StrCat(folder.empty() ? "." : folder, "/", program);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return absl::NotFoundError(absl::StrCat(program, ": not found in PATH"));
}

}  // namespace perfvec::tracer
