package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The routes of the API.
const (
	statusPath      = "/v1/status"
	servicesPath    = "/v1/services"
	connectionsPath = "/v1/connections"
	editsPath       = "/v1/edits"
	reloadPath      = "/v1/reload"
	sysctlsPath     = "/v1/sysctls"
)

// errorBody is what every answer but 200 holds, and the last line of a stream that
// broke off.
type errorBody struct {
	Error string `json:"error"`
	// Edit is set if it is one of a list of edits that was refused.
	Edit *EditError `json:"edit,omitempty"`
}

// editsBody is what a client sends to have edits done.
type editsBody struct {
	Edits []Edit `json:"edits"`
}

// sysctlBody is what a client sends to have a setting changed.
type sysctlBody struct {
	Name  string `json:"name"`
	Value string `json:"value"`
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
	mux.HandleFunc(editsPath, post(func(w http.ResponseWriter, r *http.Request, in editsBody) {
		answer(w, r, func(ctx context.Context) (struct{}, error) { return struct{}{}, a.director.Edit(ctx, in.Edits) })
	}))
	mux.HandleFunc(reloadPath, post(func(w http.ResponseWriter, r *http.Request, in Reloading) {
		answer(w, r, func(ctx context.Context) (Reloaded, error) { return a.director.Reload(ctx, in) })
	}))
	mux.HandleFunc("GET "+sysctlsPath, func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, a.director.Sysctls)
	})
	mux.HandleFunc("POST "+sysctlsPath, post(func(w http.ResponseWriter, r *http.Request, in sysctlBody) {
		answer(w, r, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, a.director.SetSysctl(ctx, in.Name, in.Value)
		})
	}))
	mux.HandleFunc(sysctlsPath, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", "GET, POST")
		refuse(w, http.StatusMethodNotAllowed, r.URL.Path+" answers GET and POST, not "+r.Method)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(w, http.StatusNotFound, "no such path: "+r.URL.Path)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.authorize(r.Context()); err != nil {
			refuse(w, http.StatusForbidden, err.Error())
			return
		}
		limit := int64(maxBodyBytes)
		if r.URL.Path == editsPath {
			limit = maxEditsBytes
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
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

// post lets only POST through to h, with the JSON document that it brought. What the
// director does not know is refused, so that a newer client is told.
func post[T any](h func(http.ResponseWriter, *http.Request, T)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			refuse(w, http.StatusMethodNotAllowed, r.URL.Path+" answers POST, not "+r.Method)
			return
		}
		var in T
		err := decodeOne(r.Body, &in)
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("%s: more than %d bytes at once", r.URL.Path, tooLarge.Limit))
			return
		}
		if err != nil {
			refuse(w, http.StatusBadRequest, r.URL.Path+": "+err.Error())
			return
		}
		h(w, r, in)
	}
}

// decodeOne reads one JSON document and wants nothing behind it.
func decodeOne(r io.Reader, in any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	err := dec.Decode(in)
	if typ := new(json.UnmarshalTypeError); errors.As(err, &typ) {
		return fmt.Errorf("%s cannot be %s", typ.Field, typ.Value) // without the names of Go types
	}
	if err != nil {
		return err
	}
	switch _, err := dec.Token(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return errors.New("more than one document")
}

// answer writes one JSON document, or ask's error.
func answer[T any](w http.ResponseWriter, r *http.Request, ask func(context.Context) (T, error)) {
	v, err := ask(r.Context())
	var refused *EditError
	if errors.As(err, &refused) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusConflict)
		json.NewEncoder(w).Encode(errorBody{Error: err.Error(), Edit: refused}) //nolint:errcheck // the client hung up
		return
	}
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
