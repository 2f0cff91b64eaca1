package daemon

import (
	"context"
	"errors"

	"uvs/control"
)

var errNotYet = errors.New("not served yet")

// Edit implements control.Director.
func (d *director) Edit(context.Context, []control.Edit) error { return errNotYet }

// Reload implements control.Director.
func (d *director) Reload(context.Context) (control.Reloaded, error) {
	return control.Reloaded{}, errNotYet
}

// Sysctls implements control.Director.
func (d *director) Sysctls(context.Context) ([]control.Sysctl, error) { return nil, nil }

// SetSysctl implements control.Director.
func (d *director) SetSysctl(context.Context, string, string) error { return errNotYet }
