package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
)

// Files of the run directory.
const (
	pidFile       = "uvs.pid"
	addressesFile = "addresses.json"
)

// A runDir is the directory where a run keeps what the next one, or `uvs cleanup`, must
// find after a crash.
type runDir string

// crashed reports whether the last run left without cleaning up.
func (d runDir) crashed() bool {
	_, err := os.Lstat(filepath.Join(string(d), pidFile))
	return err == nil
}

// writePID notes the process id.
func (d runDir) writePID(pid int) error {
	return d.replace(pidFile, []byte(strconv.Itoa(pid)+"\n"))
}

// An ownedAddress is an address that a run put on an interface and has to take away.
type ownedAddress struct {
	Interface string       `json:"interface"`
	Prefix    netip.Prefix `json:"prefix"`
}

// ownedAddresses reads the list that the last run left; none if there is no list.
func (d runDir) ownedAddresses() ([]ownedAddress, error) {
	b, err := os.ReadFile(filepath.Join(string(d), addressesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []ownedAddress
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w; remove it after a look at the addresses it names", filepath.Join(string(d), addressesFile), err)
	}
	return list, nil
}

// writeOwnedAddresses replaces the list; an empty one is no file. It is written before an
// address is added and after it was removed, so that a crash leaves nothing unknown.
func (d runDir) writeOwnedAddresses(list []ownedAddress) error {
	if len(list) == 0 {
		return d.delete(addressesFile)
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	return d.replace(addressesFile, append(b, '\n'))
}

// removePID takes the process id away. What a crash left of addresses stays: only who
// removes them may forget them.
func (d runDir) removePID() error { return d.delete(pidFile) }

func (d runDir) delete(name string) error {
	if err := os.Remove(filepath.Join(string(d), name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// replace writes a file whole or not at all.
func (d runDir) replace(name string, content []byte) error {
	tmp, err := os.CreateTemp(string(d), name+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone after the rename
	if _, err := tmp.Write(content); err != nil {
		return errors.Join(err, tmp.Close())
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(string(d), name))
}
