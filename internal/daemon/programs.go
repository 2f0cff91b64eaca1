package daemon

import (
	"context"
	"fmt"
	"sync"

	"uvs/config"
	"uvs/internal/command"
)

// scriptUser is who runs programs when nothing is configured, if there is such a user; else
// root does (keepalived.conf(5), script_user).
const scriptUser = "keepalived_script"

// programs run what a configuration names, as whom it says.
type programs struct {
	runner *command.Runner

	mu    sync.Mutex // guards what follows
	rules config.Scripts
	users map[[2]string]*command.Credential
}

func newPrograms() *programs {
	return &programs{runner: command.NewRunner(command.Options{}), users: make(map[[2]string]*command.Credential)}
}

// under returns programs with other rules and the same runner, to try them.
func (p *programs) under(rules config.Scripts) *programs {
	return &programs{runner: p.runner, rules: rules, users: make(map[[2]string]*command.Credential)}
}

// configure replaces the rules. Users are looked up anew.
func (p *programs) configure(rules config.Scripts) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = rules
	clear(p.users)
}

// program is a command in the runner's terms.
func (p *programs) program(args []string, user, group string) (command.Program, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := command.Program{Args: args, Secure: p.rules.Secure}
	switch {
	case user != "":
	case p.rules.User != "":
		user, group = p.rules.User, p.rules.Group
	default:
		if _, err := p.credential(scriptUser, ""); err == nil {
			user = scriptUser
		}
	}
	if user == "" {
		return out, nil // as we are
	}
	as, err := p.credential(user, group)
	if err != nil {
		return out, fmt.Errorf("%s: %w", args[0], err)
	}
	out.As = as
	return out, nil
}

// credential looks a user up, once. p.mu is held.
func (p *programs) credential(user, group string) (*command.Credential, error) {
	key := [2]string{user, group}
	if c := p.users[key]; c != nil {
		return c, nil
	}
	c, err := command.LookupUser(user, group, false)
	if err != nil {
		return nil, err
	}
	p.users[key] = c
	return c, nil
}

// start runs a program and does not wait for it.
func (p *programs) start(ctx context.Context, args []string, user, group string, done func(command.Result)) error {
	program, err := p.program(args, user, group)
	if err != nil {
		return err
	}
	return p.runner.Start(ctx, program, done)
}
