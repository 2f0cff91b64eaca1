package config

import "time"

// A maybe is a value that may be unset.
type maybe[T any] struct {
	v   T
	set bool
}

func (o *maybe[T]) to(v T) { o.v, o.set = v, true }

// first returns the first value that is set, else the default.
func first[T any](def T, os ...maybe[T]) T {
	for _, o := range os {
		if o.set {
			return o.v
		}
	}
	return def
}

// flag returns the value of a word that may stand alone and then means true.
func (v value) flag() bool { return !v.set || v.on }

// A level is what virtual_server, real_server and checkers all may say about probing, each for what is inside it.
type level struct {
	delayLoop, connectTimeout, delayBeforeRetry, warmup maybe[time.Duration]

	retry       maybe[uint32]
	alpha       maybe[bool]
	virtualHost maybe[string]
}

// bind takes a word that belongs to all levels and reports whether it is one.
func (l *level) bind(word string, vs values) bool {
	switch word {
	case "delay_loop":
		l.delayLoop.to(vs[0].time)
	case "connect_timeout":
		l.connectTimeout.to(vs[0].time)
	case "delay_before_retry":
		l.delayBeforeRetry.to(vs[0].time)
	case "warmup":
		l.warmup.to(vs[0].time)
	case "retry":
		l.retry.to(uint32(vs[0].number))
	case "alpha":
		l.alpha.to(vs[0].flag())
	case "virtualhost":
		l.virtualHost.to(vs[0].word.Text)
	default:
		return false
	}
	return true
}
