package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Serve is one real server: it answers HTTP on l until ctx ends, and closes l. "/" tells
// the server's name and which client it sees, "/bulk" sends zeros for as long as
// someone reads.
func Serve(ctx context.Context, l net.Listener, name string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		client, _, _ := net.SplitHostPort(r.RemoteAddr)
		fmt.Fprintf(w, "%s %s\n", name, client)
	})
	mux.HandleFunc("GET /bulk", bulk)
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = hs.Close() })
	defer stop()
	if err := hs.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// bulkBytes is more than anybody reads.
const bulkBytes int64 = 1 << 44

// bulk announces a length because chunks would cost copies on both sides.
func bulk(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(bulkBytes, 10))
	chunk := make([]byte, 256<<10)
	for range bulkBytes / int64(len(chunk)) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}
