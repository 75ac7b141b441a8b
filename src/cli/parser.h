// The command line, read by CLI11: the one file of the program that sees it.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace resnet::cli {

/// The program's own words.
struct Program {
  std::string description, footer, version;
};

/// What a command line asks for.
struct Invocation {
  bool answered = false;            // --help or --version has been printed; there is nothing to do
  Command* command = nullptr;       // its arguments are set; null: none was named
  std::vector<std::string> before;  // words in front of the command that mean nothing there
  std::vector<std::string> rest;    // words behind it that its arguments do not take
  std::string help;                 // of the program
};

/// Sets the targets of the named command's arguments. Throws ConfigError for what cannot be read.
Invocation parse(const Program& program, const Commands& commands, int argc, const char* const* argv);

/// "CLI11 2.1.2"
std::string parser_version();

}  // namespace resnet::cli
