package control

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// The routes of the API.
const (
	statusPath      = "/v1/status"
	servicesPath    = "/v1/services"
	connectionsPath = "/v1/connections"
)

// errorBody is what every answer but 200 holds, and the last line of a stream that
// broke off.
type errorBody struct {
	Error string `json:"error"`
}

// handler routes the API. Who may not ask is refused before anything is looked at.
func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(statusPath, get(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, a.director.Status)
	}))
	mux.HandleFunc(servicesPath, get(func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, a.director.Services)
	}))
	mux.HandleFunc(connectionsPath, get(a.connections))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "no such path: "+r.URL.Path)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.authorize(r.Context()); err != nil {
			refuse(w, http.StatusForbidden, err.Error())
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		mux.ServeHTTP(w, r)
	})
}

// get lets only GET through to h.
func get(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			refuse(w, http.StatusMethodNotAllowed, r.URL.Path+" answers GET, not "+r.Method)
			return
		}
		h(w, r)
	}
}

// answer writes one JSON document, or ask's error.
func answer[T any](w http.ResponseWriter, r *http.Request, ask func(context.Context) (T, error)) {
	v, err := ask(r.Context())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck // the client hung up
}

// refuse writes the JSON error.
func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(errorBody{Error: message}) //nolint:errcheck // the client hung up
}

// connections streams every connection on a line of its own. An error after the
// first line can no longer change the status, so it comes as a last line
// {"error": …}.
func (a *api) connections(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := bufio.NewWriterSize(patientWriter{w, http.NewResponseController(w)}, 64<<10)
	enc := json.NewEncoder(out)
	err := a.director.Connections(r.Context(), func(c Connection) error { return enc.Encode(c) })
	if err != nil {
		enc.Encode(errorBody{Error: err.Error()}) //nolint:errcheck // perhaps that is the error
	}
	out.Flush()
}

// patientWriter gives every write a deadline of its own, so that a long answer has
// no limit as long as the client keeps reading.
type patientWriter struct {
	http.ResponseWriter
	ctl *http.ResponseController
}

func (w patientWriter) Write(b []byte) (int, error) {
	if err := w.ctl.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}
