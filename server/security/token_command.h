// `perfvec-server token create|list|revoke`: works on the tokens file alone,
// with or without a server that reads it.
#ifndef PERFVEC_SERVER_SECURITY_TOKEN_COMMAND_H_
#define PERFVEC_SERVER_SECURITY_TOKEN_COMMAND_H_

namespace perfvec::server {

// `argv[0]` is "token". Returns the exit code: 0, 1 (an error, told on standard
// error), or CLI11's for a wrong command line.
int TokenMain(int argc, char** argv);

}  // namespace perfvec::server

#endif  // PERFVEC_SERVER_SECURITY_TOKEN_COMMAND_H_
