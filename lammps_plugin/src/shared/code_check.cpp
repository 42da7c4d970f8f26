// SPDX-License-Identifier: GPL-2.0-or-later

// The source is not parsed but divided into tokens, which is enough for the rules: every dotted name, every name that
// is called, and every method that is defined is checked.

#include "shared/code_check.h"

#include "shared/code_rules.h"

#include <torch/csrc/jit/runtime/operator.h>

#include <cctype>
#include <vector>

using namespace LAMMPS_NS;

namespace {

enum class Kind { name, number, text, symbol, line };

struct Token {
  Kind kind;
  std::string word;  // of a text: what is between the quotes
};

bool starts_name(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool in_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Tokens of the source; ends of lines inside brackets are left out.
std::vector<Token> divide(const std::string& source) {
  std::vector<Token> out;
  int depth = 0;
  size_t at = 0;
  while (at < source.size()) {
    const char c = source[at];
    if (c != '\n' && c != '\t' && (c < ' ' || c > '~')) tnep_refuse("code with control characters");
    const size_t begin = at;
    if (c == '\n') {
      if (depth == 0) out.push_back({Kind::line, ""});
      at++;
    } else if (c == ' ' || c == '\t') {
      at++;
    } else if (c == '#') {
      while (at < source.size() && source[at] != '\n') at++;
    } else if (starts_name(c)) {
      while (at < source.size() && in_name(source[at])) at++;
      if (at < source.size() && (source[at] == '"' || source[at] == '\'')) tnep_refuse("code with prefixed strings");
      out.push_back({Kind::name, source.substr(begin, at - begin)});
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      while (at < source.size() && (in_name(source[at]) || source[at] == '.')) {
        const bool exponent = (source[at] == 'e' || source[at] == 'E') && at + 1 < source.size() &&
                              (source[at + 1] == '-' || source[at + 1] == '+');
        at += exponent ? 2 : 1;
      }
      out.push_back({Kind::number, source.substr(begin, at - begin)});
    } else if (c == '"' || c == '\'') {
      for (at++; at < source.size() && source[at] != c; at++) {
        if (source[at] == '\n') tnep_refuse("a string that does not end");
        if (source[at] == '\\') at++;
      }
      if (at >= source.size()) tnep_refuse("a string that does not end");
      out.push_back({Kind::text, source.substr(begin + 1, at - begin - 1)});
      at++;
    } else if (c == '\\') {
      tnep_refuse("code with control characters");
    } else {
      if (c == '(' || c == '[' || c == '{') depth++;
      if (c == ')' || c == ']' || c == '}') depth--;
      out.push_back({Kind::symbol, std::string(1, c)});
      at++;
    }
  }
  return out;
}

bool is(const std::vector<Token>& tokens, size_t k, const char* symbol) {
  return k < tokens.size() && tokens[k].kind == Kind::symbol && tokens[k].word == symbol;
}

// Whether a name is that of an allowed operator, or of no operator at all, so that torch cannot call one.
bool is_harmless(const std::string& name) {
  const auto& rules = tnep_rules();
  if (rules.operators.count(name) || rules.methods.count(name)) return true;
  return !rules.not_used.count(name) &&
         torch::jit::getAllOperatorsFor(c10::Symbol::fromQualString("aten::" + name)).empty();
}

// Check one dotted name; `root` is empty if it begins with an expression.
void check_dotted(const std::string& root, const std::vector<std::string>& words) {
  const auto& rules = tnep_rules();
  bool allowed = true;
  if (root == "torch")
    allowed = (words.size() == 2 && words[0] == "autograd" && words[1] == "grad") ||
              (words.size() == 1 && (words[0] == "device" || is_harmless(words[0])));
  else if (root == "ops")
    allowed = words.size() == 2 && (words[0] == "tnep" || (words[0] == "prim" && rules.prim.count(words[1]) > 0) ||
                                    (words[0] == "aten" && rules.operators.count(words[1]) > 0));
  else if (root == "__torch__") allowed = words.size() < 2 || words[0] != "torch" || words[1] != "classes";
  else
    for (const auto& word : words) allowed = allowed && is_harmless(word);
  if (allowed) return;
  std::string name = root;
  for (const auto& word : words) name += "." + word;
  tnep_refuse("code that uses " + name.substr(0, 80));
}

// getattr may only look up a constant name: getattr(expression, "name").
void check_getattr(const std::vector<Token>& tokens, size_t open) {
  int depth = 0, commas = 0;
  size_t close = open;
  for (; close < tokens.size(); close++) {
    if (is(tokens, close, "(") || is(tokens, close, "[") || is(tokens, close, "{")) depth++;
    if (is(tokens, close, ")") || is(tokens, close, "]") || is(tokens, close, "}")) depth--;
    if (depth == 0) break;
    if (depth == 1 && is(tokens, close, ",")) commas++;
  }
  const bool constant = close < tokens.size() && close >= open + 4 && commas == 1 &&
                        tokens[close - 1].kind == Kind::text && is(tokens, close - 2, ",");
  if (!constant || !is_harmless(tokens[close - 1].word)) tnep_refuse("code that looks up an operator by name");
}

}  // namespace

void LAMMPS_NS::tnep_check_code(const std::string& source) {
  const auto& rules = tnep_rules();
  const std::vector<Token> tokens = divide(source);
  for (size_t k = 0; k < tokens.size(); k++) {
    const Token& token = tokens[k];
    const bool after_dot = k > 0 && is(tokens, k - 1, ".");
    if (token.kind == Kind::name && !after_dot) {
      if (token.word == "import" || token.word == "from") tnep_refuse("code that imports");
      if (token.word == "def" && k + 1 < tokens.size() && tokens[k + 1].word.compare(0, 2, "__") == 0 &&
          !rules.methods.count(tokens[k + 1].word))
        tnep_refuse("a method " + tokens[k + 1].word);
      if (is(tokens, k + 1, "(")) {
        if (rules.not_called.count(token.word)) tnep_refuse("code that calls " + token.word);
        if (token.word == "getattr") check_getattr(tokens, k + 1);
      }
      if (rules.roots.count(token.word) && !is(tokens, k + 1, "."))
        tnep_refuse("code that takes '" + token.word + "' as a value");
    }
    if (is(tokens, k, "(") && k > 0 &&
        (is(tokens, k - 1, ")") || is(tokens, k - 1, "]") || is(tokens, k - 1, "}") ||
         tokens[k - 1].kind == Kind::text))
      tnep_refuse("code that calls a computed function");
    if (is(tokens, k, ".") && !(k > 1 && tokens[k - 1].kind == Kind::name && is(tokens, k - 2, "."))) {
      // the first dot of a dotted name
      std::vector<std::string> words;
      for (size_t j = k; is(tokens, j, ".") && j + 1 < tokens.size() && tokens[j + 1].kind == Kind::name; j += 2)
        words.push_back(tokens[j + 1].word);
      const bool named = k > 0 && tokens[k - 1].kind == Kind::name;
      if (!words.empty()) check_dotted(named ? tokens[k - 1].word : "", words);
    }
  }
}
