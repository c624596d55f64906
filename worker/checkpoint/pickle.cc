#include "worker/checkpoint/pickle.h"

#include <cstring>
#include <map>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace perfvec::checkpoint {
namespace {

constexpr absl::string_view kKnownGlobals[] = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    "torch FloatStorage",
    "torch DoubleStorage",
    "torch HalfStorage",
    "torch BFloat16Storage",
    "torch LongStorage",
    "torch IntStorage",
    "torch ShortStorage",
    "torch CharStorage",
    "torch ByteStorage",
    "torch BoolStorage"};

// A state dict with its optimizer's takes a few thousand.
constexpr size_t kMaxValues = 1 << 20;

}  // namespace

const char* KindName(Pickle::Kind kind) {
  static const char* const kNames[] = {
      "None",       "a truth value", "an integer", "a number",
      "text",       "a tuple",       "a list",     "a dict",
      "a function", "a storage",     "a tensor"};
  return kNames[static_cast<int>(kind)];
}

// The stack machine. Every opcode makes at most one value, and what it takes
// off the stack is gone from there, so nothing grows faster than the input.
class Pickle::Machine {
 public:
  Machine(absl::string_view bytes, absl::string_view label)
      : bytes_(bytes), label_(label) {}

  absl::StatusOr<Pickle> Run() {
    while (!stopped_ && status_.ok()) {
      opcode_at_ = at_;
      const uint8_t opcode = static_cast<uint8_t>(Integer(1));
      if (status_.ok()) Step(opcode);
    }
    if (status_.ok() && stack_.size() != 1) {
      Damaged(
          absl::StrCat("expected one value at its end, found ", stack_.size()));
    }
    if (!status_.ok()) return status_;
    pickle_.root_ = stack_.back();
    return std::move(pickle_);
  }

 private:
  void Damaged(absl::string_view what) {
    status_.Update(absl::DataLossError(
        absl::StrCat(label_, ", byte ", opcode_at_, ": ", what)));
  }
  void Refuse(absl::string_view what) {
    status_.Update(absl::InvalidArgumentError(
        absl::StrCat(label_, ", byte ", opcode_at_, ": ", what)));
  }

  // Little-endian and unsigned.
  uint64_t Integer(size_t size) {
    uint64_t value = 0;
    const absl::string_view raw = Bytes(size);
    std::memcpy(&value, raw.data(), raw.size());
    return value;
  }
  absl::string_view Bytes(uint64_t size) {
    if (size > bytes_.size() - at_) {
      Damaged("the pickle is cut");
      return {};
    }
    const absl::string_view out = bytes_.substr(at_, size);
    at_ += size;
    return out;
  }
  std::string Line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == bytes_.npos) {
      Damaged("the pickle is cut");
      return "";
    }
    std::string line(bytes_.substr(at_, end - at_));
    at_ = end + 1;
    return line;
  }

  Value& Push(Kind kind) {
    if (pickle_.values_.size() >= kMaxValues) {
      Refuse(absl::StrCat("more than ", kMaxValues, " values"));
    }
    stack_.push_back(static_cast<Index>(pickle_.values_.size()));
    pickle_.values_.emplace_back();
    pickle_.values_.back().kind = kind;
    return pickle_.values_.back();
  }
  void PushInteger(int64_t value, Kind kind = Kind::kInteger) {
    Push(kind).integer = value;
  }
  void PushText(absl::string_view text) {
    Push(Kind::kText).text = std::string(text);
  }

  // The values above the last mark, or the last `count`; empty after an error.
  std::vector<Index> PopToMark() {
    if (marks_.empty() || marks_.back() > stack_.size()) {
      Damaged("no mark on the stack");
      return {};
    }
    std::vector<Index> out(stack_.begin() + static_cast<int64_t>(marks_.back()),
                           stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return out;
  }
  std::vector<Index> Pop(size_t count) {
    if (stack_.size() < count ||
        (!marks_.empty() && stack_.size() - count < marks_.back())) {
      Damaged("the stack is empty");
      return {};
    }
    std::vector<Index> out(stack_.end() - static_cast<int64_t>(count),
                           stack_.end());
    stack_.resize(stack_.size() - count);
    return out;
  }
  std::optional<Index> Top() {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) {
      Damaged("the stack is empty");
      return std::nullopt;
    }
    return stack_.back();
  }
  void PushTuple(std::vector<Index> items) {
    if (status_.ok()) Push(Kind::kTuple).items = std::move(items);
  }

  void AddTo(Kind kind, const std::vector<Index>& items) {
    const std::optional<Index> top = Top();
    if (!top.has_value() || !status_.ok()) return;
    Value& container = pickle_.values_[*top];
    if (container.kind != kind ||
        (kind == Kind::kDict && items.size() % 2 != 0)) {
      return Damaged(absl::StrCat("items for ", KindName(kind), ", found ",
                                  KindName(container.kind)));
    }
    container.items.insert(container.items.end(), items.begin(), items.end());
  }

  // Numbers count from 0 in every pickler; one beyond is not worth the memory.
  void Put(uint64_t number) {
    const std::optional<Index> top = Top();
    if (!top.has_value()) return;
    if (number > bytes_.size()) return Damaged("a memo number out of bounds");
    memo_[number] = *top;
  }
  void Get(uint64_t number) {
    const auto it = memo_.find(number);
    if (it == memo_.end()) return Damaged("an unknown memo number");
    stack_.push_back(it->second);
  }

  void PushGlobal(absl::string_view module, absl::string_view name) {
    if (!status_.ok()) return;
    const std::string both = absl::StrCat(module, " ", name);
    for (absl::string_view known : kKnownGlobals) {
      if (both != known) continue;
      Push(Kind::kGlobal).text = both;
      return;
    }
    Refuse(absl::StrCat("the pickle asks for ", absl::CHexEscape(module), ".",
                        absl::CHexEscape(name),
                        ", which is not one of the few names a state dict "
                        "needs; nothing of it is executed"));
  }

  const Value& ValueOf(Index i) const { return pickle_.values_[i]; }

  // ("storage", type, key, location, elements)
  void PersistentId() {
    const std::vector<Index> one = Pop(1);
    if (!status_.ok()) return;
    const std::vector<Index>& id = ValueOf(one[0]).items;
    if (ValueOf(one[0]).kind != Kind::kTuple || id.size() != 5 ||
        ValueOf(id[0]).text != "storage" ||
        ValueOf(id[1]).kind != Kind::kGlobal ||
        !absl::EndsWith(ValueOf(id[1]).text, "Storage") ||
        ValueOf(id[2]).kind != Kind::kText ||
        ValueOf(id[4]).kind != Kind::kInteger) {
      return Refuse("expected a persistent id of a tensor's storage");
    }
    Value storage;
    storage.kind = Kind::kStorage;
    storage.type = ValueOf(id[1]).text.substr(sizeof("torch"));
    storage.text = ValueOf(id[2]).text;
    storage.integer = ValueOf(id[4]).integer;
    Push(Kind::kStorage) = std::move(storage);
  }

  void Reduce() {
    const std::vector<Index> call = Pop(2);
    if (!status_.ok()) return;
    const Value& function = ValueOf(call[0]);
    if (function.kind != Kind::kGlobal ||
        ValueOf(call[1]).kind != Kind::kTuple) {
      return Refuse(
          absl::StrCat("a call of ", KindName(function.kind), " is refused"));
    }
    const std::vector<Index> arguments = ValueOf(call[1]).items;
    if (function.text == "collections OrderedDict" && arguments.empty()) {
      Push(Kind::kDict);
    } else if (function.text == "torch._utils _rebuild_tensor_v2" &&
               arguments.size() >= 4 &&
               ValueOf(arguments[0]).kind == Kind::kStorage) {
      Push(Kind::kTensor).items = {arguments[0], arguments[1], arguments[2],
                                   arguments[3]};
    } else if (function.text == "torch._utils _rebuild_parameter" &&
               !arguments.empty() &&
               ValueOf(arguments[0]).kind == Kind::kTensor) {
      stack_.push_back(arguments[0]);
    } else {
      Refuse(absl::StrCat("a call of ", function.text,
                          " with other arguments than torch.save's"));
    }
  }

  // The attributes of a state dict (its _metadata) mean nothing here.
  void Build() {
    Pop(1);
    const std::optional<Index> top = Top();
    if (top.has_value() && ValueOf(*top).kind != Kind::kDict) {
      Refuse(absl::StrCat("attributes of ", KindName(ValueOf(*top).kind),
                          " are refused"));
    }
  }

  void Step(uint8_t opcode);

  const absl::string_view bytes_;
  const absl::string_view label_;
  size_t at_ = 0, opcode_at_ = 0;
  bool stopped_ = false;
  absl::Status status_;
  std::vector<Index> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, Index> memo_;
  Pickle pickle_;
};

void Pickle::Machine::Step(uint8_t opcode) {
  switch (opcode) {
    case 0x80: {  // PROTO
      const uint64_t protocol = Integer(1);
      if (status_.ok() && (protocol < 2 || protocol > 4)) {
        Refuse(
            absl::StrCat("expected pickle protocol 2 to 4, found ", protocol));
      }
      return;
    }
    case 0x95:  // FRAME
      Integer(8);
      return;
    case '.':  // STOP
      stopped_ = true;
      return;
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return;
    case 'N':
      Push(Kind::kNone);
      return;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      return PushInteger(opcode == 0x88, Kind::kBool);
    case 'J':  // BININT
      return PushInteger(static_cast<int32_t>(Integer(4)));
    case 'K':  // BININT1
      return PushInteger(static_cast<int64_t>(Integer(1)));
    case 'M':  // BININT2
      return PushInteger(static_cast<int64_t>(Integer(2)));
    case 0x8a: {  // LONG1, two's complement
      const uint64_t size = Integer(1);
      if (size > 8) return Refuse("an integer beyond 64 bits");
      uint64_t value = Integer(size);
      if (size > 0 && size < 8 && (value >> (8 * size - 1)) != 0) {
        value |= ~uint64_t{0} << (8 * size);
      }
      return PushInteger(static_cast<int64_t>(value));
    }
    case 'G': {  // BINFLOAT, big-endian
      const uint64_t bits = __builtin_bswap64(Integer(8));
      std::memcpy(&Push(Kind::kFloat).number, &bits, sizeof bits);
      return;
    }
    case 'X':  // BINUNICODE
      return PushText(Bytes(Integer(4)));
    case 0x8c:  // SHORT_BINUNICODE
      return PushText(Bytes(Integer(1)));
    case ')':
      Push(Kind::kTuple);
      return;
    case ']':
      Push(Kind::kList);
      return;
    case '}':
      Push(Kind::kDict);
      return;
    case 't':  // TUPLE
      return PushTuple(PopToMark());
    case 0x85:  // TUPLE1 to TUPLE3
    case 0x86:
    case 0x87:
      return PushTuple(Pop(opcode - 0x84u));
    case 'a':  // APPEND
      return AddTo(Kind::kList, Pop(1));
    case 'e':  // APPENDS
      return AddTo(Kind::kList, PopToMark());
    case 's':  // SETITEM
      return AddTo(Kind::kDict, Pop(2));
    case 'u':  // SETITEMS
      return AddTo(Kind::kDict, PopToMark());
    case 'q':  // BINPUT
      return Put(Integer(1));
    case 'r':  // LONG_BINPUT
      return Put(Integer(4));
    case 0x94:  // MEMOIZE
      return Put(memo_.size());
    case 'h':  // BINGET
      return Get(Integer(1));
    case 'j':  // LONG_BINGET
      return Get(Integer(4));
    case 'c': {  // GLOBAL
      const std::string module = Line();
      return PushGlobal(module, Line());
    }
    case 0x93: {  // STACK_GLOBAL
      const std::vector<Index> names = Pop(2);
      if (!status_.ok()) return;
      if (ValueOf(names[0]).kind != Kind::kText ||
          ValueOf(names[1]).kind != Kind::kText) {
        return Damaged("a global whose name is no text");
      }
      const std::string module = ValueOf(names[0]).text;
      return PushGlobal(module, ValueOf(names[1]).text);
    }
    case 'Q':  // BINPERSID
      return PersistentId();
    case 'R':  // REDUCE
      return Reduce();
    case 'b':  // BUILD
      return Build();
    default:
      Refuse(absl::StrCat("opcode 0x", absl::Hex(opcode, absl::kZeroPad2),
                          " is not one that torch.save needs for tensors"));
  }
}

absl::StatusOr<Pickle> Pickle::Parse(absl::string_view bytes,
                                     absl::string_view label) {
  return Machine(bytes, label).Run();
}

const Pickle::Value* Pickle::Find(const Value& dict,
                                  absl::string_view key) const {
  if (dict.kind != Kind::kDict) return nullptr;
  const Value* found = nullptr;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Value& name = at(dict.items[i]);
    if (name.kind == Kind::kText && name.text == key) {
      found = &at(dict.items[i + 1]);
    }
  }
  return found;
}

absl::StatusOr<std::vector<std::pair<std::string, const Pickle::Value*>>>
Pickle::Entries(const Value& dict) const {
  std::vector<std::pair<std::string, const Value*>> entries;
  for (size_t i = 0; i + 1 < dict.items.size(); i += 2) {
    const Value& name = at(dict.items[i]);
    if (name.kind != Kind::kText) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected keys of text, found ", KindName(name.kind)));
    }
    entries.emplace_back(name.text, &at(dict.items[i + 1]));
  }
  return entries;
}

absl::StatusOr<Pickle::TensorView> Pickle::Tensor(const Value& value) const {
  if (value.kind != Kind::kTensor) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected a tensor, found ", KindName(value.kind)));
  }
  const Value& offset = at(value.items[1]);
  TensorView view{&at(value.items[0]), offset.integer, {}, {}};
  bool integers = offset.kind == Kind::kInteger;
  for (int part : {2, 3}) {
    const Value& tuple = at(value.items[static_cast<size_t>(part)]);
    integers &= tuple.kind == Kind::kTuple;
    for (Index i : tuple.items) {
      integers &= at(i).kind == Kind::kInteger;
      (part == 2 ? view.shape : view.strides).push_back(at(i).integer);
    }
  }
  if (!integers || view.shape.size() != view.strides.size()) {
    return absl::InvalidArgumentError(
        "expected an offset, a shape and as many strides, all integers");
  }
  return view;
}

}  // namespace perfvec::checkpoint
