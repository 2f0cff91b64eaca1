package demo

import (
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Terminal tells what w can show: whether it is a terminal that can be drawn over, and
// whether that shows more than ASCII (LC_ALL, LC_CTYPE, LANG).
func Terminal(w io.Writer, env func(string) (string, bool)) (live, unicode bool) {
	f, ok := w.(*os.File)
	if !ok {
		return false, false
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return false, false
	}
	if term, _ := env("TERM"); term == "" || term == "dumb" {
		return false, false
	}
	return true, utf8Locale(env)
}

// utf8Locale asks the variables in the order of setlocale(3).
func utf8Locale(env func(string) (string, bool)) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value, _ := env(name); value != "" {
			value = strings.ToLower(value)
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}
