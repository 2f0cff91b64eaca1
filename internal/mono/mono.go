// Package mono is monotonic time in eight bytes.
//
// The data plane stamps packets and flow entries with a Time instead of a time.Time:
// it is a third of the size, holds no pointer, and never steps with the wall clock.
// Pure deciders take a Time as an argument; doers read Now once per batch or event.
package mono

import "time"

// A Time is a number of nanoseconds since an arbitrary point before the process
// started. The zero Time is earlier than every Time that Now returns. Times of
// different processes cannot be compared.
type Time int64

// origin lies a second before start-up, so that no Now is zero or negative. It is
// only ever read.
var origin = time.Now().Add(-time.Second)

// Now reads the clock (about 40 ns). Inside a testing/synctest bubble it follows the
// bubble's clock. Safe for use by many goroutines.
func Now() Time { return Time(time.Since(origin)) }

// Add returns t + d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the duration t - u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Before reports whether t is earlier than u.
func (t Time) Before(u Time) bool { return t < u }

// After reports whether t is later than u.
func (t Time) After(u Time) bool { return t > u }
