package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"

	"uvs/health"
	"uvs/internal/command"
)

// probers are what checks need of the host beyond a socket: programs, the data plane's ways, and the files of client
// certificates.
type probers struct {
	programs *programs
	vips     *vipProber

	mu         sync.Mutex // guards identities
	identities map[health.Identity]*tls.Config
}

// prober is what the health set probes with.
func (p *probers) prober() health.NetProber {
	return health.NetProber{Run: p.run, VIP: p.vips.probe, Client: p.client}
}

// run runs a program and waits for its end.
func (p *probers) run(ctx context.Context, x *health.Program) (health.Exit, error) {
	program, err := p.programs.program(x.Args, x.User, x.Group)
	if err != nil {
		return health.Exit{}, err
	}
	program.Timeout = x.Timeout
	ended := make(chan command.Result, 1)
	if err := p.programs.runner.Start(ctx, program, func(r command.Result) { ended <- r }); err != nil {
		return health.Exit{}, err
	}
	switch r := <-ended; r.Outcome {
	case command.Exited:
		return health.Exit{Status: r.Status}, nil
	case command.Signalled:
		return health.Exit{Signal: r.Status}, nil
	case command.NotStarted:
		return health.Exit{}, r.Err
	}
	return health.Exit{TimedOut: true}, nil
}

// client returns the settings that the SSL block asks for, read once. Servers are verified if
// it names authorities.
func (p *probers) client(id health.Identity) (*tls.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.identities[id]; c != nil {
		return c, nil
	}
	c := &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} //nolint:gosec // as keepalived: whether it answers is the question
	if id.CA != "" {
		text, err := os.ReadFile(id.CA)
		if err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("ca %s holds no certificate", id.CA)
		}
	}
	if id.Certificate != "" {
		pair, err := keyPair(id)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	p.identities[id] = c
	return c, nil
}

// keyPair reads a certificate and its key, which may be in one file and be encrypted.
func keyPair(id health.Identity) (tls.Certificate, error) {
	cert, err := os.ReadFile(id.Certificate)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	key := cert
	if id.Key != "" {
		if key, err = os.ReadFile(id.Key); err != nil {
			return tls.Certificate{}, fmt.Errorf("key: %w", err)
		}
	}
	if id.Password != "" {
		if key, err = decrypted(key, id.Password); err != nil {
			return tls.Certificate{}, err
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %s: %w", id.Certificate, err)
	}
	return pair, nil
}

// decrypted returns a key whose PEM block is encrypted in the old way (RFC 1423).
func decrypted(text []byte, password string) ([]byte, error) {
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return text, nil // none is encrypted
		}
		if !x509.IsEncryptedPEMBlock(b) { //nolint:staticcheck // it is what such files are encrypted by
			continue
		}
		der, err := x509.DecryptPEMBlock(b, []byte(password)) //nolint:staticcheck // see above
		if err != nil {
			return nil, errors.New("key: the password does not fit")
		}
		return pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: der}), nil
	}
}
