package outcome

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// A RawFile is one JSON value a line: the [Machine], then each [Run] as it ends, so that an
// interrupted run keeps what it measured.
type RawFile struct{ file *os.File }

// NewRawFile makes NAME.jsonl in a directory, which it makes too.
func NewRawFile(dir, name string) (*RawFile, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, name+".jsonl"))
	if err != nil {
		return nil, err
	}
	return &RawFile{f}, nil
}

// Write adds a line.
func (f *RawFile) Write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("raw data: %w", err)
	}
	_, err = f.file.Write(append(b, '\n'))
	return err
}

// Close ends the file. Every write was checked.
func (f *RawFile) Close() { _ = f.file.Close() }
