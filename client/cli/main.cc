// The command `perfvec`; docs/cli.md.
#include "client/cli/commands.h"

int main(int argc, char** argv) {
  return perfvec::client::cli::Main(argc, argv);
}
