package config

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// hmac binds the auth_hmac block of keepalived 2.4.
func (b *binder) hmac(s *Statement) *HMAC {
	h := &HMAC{Replay: "time", Window: 30 * time.Second, Mode: "enforce"}
	active := Pos{}
	b.each("auth_hmac", s.Block.Statements, func(k *keyword, s *Statement, vs values) {
		switch k.canonical() {
		case "key":
			b.hmacKey(h, s, vs)
		case "active_key":
			h.Active, active = uint8(vs[0].number), s.Pos
		case "anti_replay":
			h.Replay = vs[0].word.Text
		case "time_window":
			h.Window = time.Duration(vs[0].number) * time.Second
		case "mode":
			h.Mode = vs[0].word.Text
		default:
			panic(unbound("auth_hmac", k))
		}
	})
	if len(h.Keys) == 0 {
		b.diags.errorf(s.Pos, "", "auth_hmac has no key that can be used and is ignored")
		return nil
	}
	if active == (Pos{}) {
		h.Active = h.Keys[0].ID
	} else if !slices.ContainsFunc(h.Keys, func(k HMACKey) bool { return k.ID == h.Active }) {
		b.diags.errorf(active, "active_key", "active_key %d is not one of the keys; key %d is used", h.Active, h.Keys[0].ID)
		h.Active = h.Keys[0].ID
	}
	return h
}

// hmacKey binds key ID VALUE: text, "hex:" with digits, or "file:" with a path that is read when the key is needed.
func (b *binder) hmacKey(h *HMAC, s *Statement, vs values) {
	const least, most = 32, 64
	k := HMACKey{ID: uint8(vs[0].number)}
	w := vs[1].word
	if slices.ContainsFunc(h.Keys, func(o HMACKey) bool { return o.ID == k.ID }) {
		b.diags.errorf(s.Pos, w.Text, "key %d stands above already; this one is ignored", k.ID)
		return
	}
	switch digits, isHex := strings.CutPrefix(w.Text, "hex:"); {
	case strings.HasPrefix(w.Text, "file:"):
		k.File = strings.TrimPrefix(w.Text, "file:")
	case isHex:
		secret, err := hex.DecodeString(digits)
		if err != nil {
			b.diags.errorf(w.Pos, "key", "key %d is not pairs of hex digits after \"hex:\"; it is ignored", k.ID)
			return
		}
		k.Secret = secret
	default:
		k.Secret = []byte(w.Text)
	}
	if k.File == "" && (len(k.Secret) < least || len(k.Secret) > most) {
		b.diags.errorf(w.Pos, "key", "key %d has %d bytes, and a key has %d to %d; it is ignored", k.ID, len(k.Secret), least, most)
		return
	}
	h.Keys = append(h.Keys, k)
}
