// Which architecture suits a program best, asked over gRPC from Go.
//
//	best_processor [-tls-ca FILE] [-token-file FILE] HOST:PORT PROGRAM [DEADLINE_MS]
//
// Prints a line for each of the three best, with the interval of its time.
// Exits with 1 and the server's message if it cannot. How to build it:
// docs/clients.md.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	perfvec "perfvec/v1"
)

const callTime = 5 * time.Second

// codec is for gRPC before 1.34 with Debian's protocol buffers: its own fails
// on messages of today's generator that have a oneof.
type codec struct{}

func (codec) Name() string { return "proto" }
func (codec) Marshal(v interface{}) ([]byte, error) {
	return proto.Marshal(v.(proto.Message))
}
func (codec) Unmarshal(data []byte, v interface{}) error {
	return proto.Unmarshal(data, v.(proto.Message))
}

// bearer sends a token with every call.
type bearer struct {
	token     string
	plainText bool
}

func (b bearer) GetRequestMetadata(context.Context, ...string) (
	map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

// Without TLS, gRPC refuses to connect where this is true.
func (b bearer) RequireTransportSecurity() bool { return !b.plainText }

func isLoopback(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func connect(address, tlsCA, tokenFile string) (*grpc.ClientConn, error) {
	var options []grpc.DialOption
	if tlsCA == "" {
		options = append(options, grpc.WithInsecure())
	} else {
		pem, err := os.ReadFile(tlsCA)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: no certificate in PEM", tlsCA)
		}
		options = append(options, grpc.WithTransportCredentials(
			credentials.NewTLS(&tls.Config{RootCAs: roots})))
	}
	if tokenFile != "" {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return nil, err
		}
		options = append(options, grpc.WithPerRPCCredentials(bearer{
			strings.TrimSpace(string(token)),
			isLoopback(address)}))
	}
	return grpc.Dial(address, options...)
}

// withRetries repeats what the server asks to be repeated; docs/api.md#errors.
func withRetries(call func(ctx context.Context, trailer *metadata.MD) error,
	attempts int) error {
	for attempt := 0; ; attempt++ {
		var trailer metadata.MD
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		err := call(ctx, &trailer)
		cancel()
		code := status.Code(err)
		hint := 0
		if values := trailer.Get("retry-after-ms"); len(values) > 0 {
			hint, _ = strconv.Atoi(values[0])
		}
		again := code == codes.Unavailable ||
			code == codes.ResourceExhausted && hint > 0
		if !again || attempt+1 == attempts {
			return err
		}
		pause := time.Duration(hint) * time.Millisecond
		if least := 100 * time.Millisecond << attempt; pause < least {
			pause = least
		}
		time.Sleep(pause + time.Duration(rand.Int63n(int64(pause)/2)))
	}
}

func run(tlsCA, tokenFile string, arguments []string) error {
	if len(arguments) < 2 || len(arguments) > 3 {
		return errors.New("expected HOST:PORT PROGRAM [DEADLINE_MS]")
	}
	request := &perfvec.RankRequest{
		Subject:   &perfvec.RankRequest_Program{Program: arguments[1]},
		Objective: perfvec.Objective_OBJECTIVE_TIME,
		Limit:     3,
	}
	if len(arguments) == 3 {
		ms, err := strconv.ParseFloat(arguments[2], 64)
		if err != nil {
			return err
		}
		deadlineNs := 1e6 * ms
		request.DeadlineNs = &deadlineNs
	}
	connection, err := connect(arguments[0], tlsCA, tokenFile)
	if err != nil {
		return err
	}
	defer connection.Close()
	service := perfvec.NewPredictionServiceClient(connection)
	var answer *perfvec.RankResponse
	err = withRetries(func(ctx context.Context, trailer *metadata.MD) error {
		var err error
		answer, err = service.Rank(ctx, request, grpc.Trailer(trailer))
		return err
	}, 5)
	if err != nil {
		return err
	}
	for _, item := range answer.Items {
		fmt.Printf("%s %.0f", item.Name, item.TimeNs)
		if item.LowNs != nil { // nil: the model is not calibrated
			fmt.Printf(" %.0f %.0f", *item.LowNs, *item.HighNs)
		}
		fmt.Println()
	}
	return nil
}

func main() {
	tlsCA := flag.String("tls-ca", "",
		"PEM file: who may sign the server's certificate; empty: no TLS")
	tokenFile := flag.String("token-file", "", "file with the token")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(),
			"usage: best_processor [options] HOST:PORT PROGRAM [DEADLINE_MS]")
		flag.PrintDefaults()
	}
	flag.Parse()
	rand.Seed(time.Now().UnixNano())
	encoding.RegisterCodec(codec{})
	err := run(*tlsCA, *tokenFile, flag.Args())
	if err == nil {
		return
	}
	if known, ok := status.FromError(err); ok {
		fmt.Fprintf(os.Stderr, "%s: %s\n", known.Code(), known.Message())
	} else {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1)
}
